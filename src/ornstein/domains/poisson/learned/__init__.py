"""What is learned: sources, p(ρ), and solutions of one equation, p(φ | ρ)."""

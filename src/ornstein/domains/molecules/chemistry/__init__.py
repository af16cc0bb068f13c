"""Molecules as chemists have them: files, bonds from distances, energies, pictures. No noise here, and no networks."""

"""Text that is shown: escaping (text of others), markup (HTML of notebooks)."""

"""From what a user hands to a constructor of Predictions to the fields it holds. Floor 1."""

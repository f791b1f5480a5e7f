"""Training code that models share; TensorFlow is imported where it is used."""

"""A network of one hidden layer in TensorFlow."""

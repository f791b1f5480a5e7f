"""What every model's training has in common, from the command line to the result; TensorFlow is imported where it is used.

settings       every setting once: type, default, help, bounds
configuration  default, preset, variable, flag → the settings of one training
main           settings → ranks → the loop; every error becomes an exit code
model          what a model brings: its settings, its network, its presets
source         where the images come from: a dataset, or random ones
plan           the numbers that follow from settings and images: steps, epochs, learning rates
step           one step and one evaluated batch, as TensorFlow graphs
state          the variables: restored, averaged over ranks, saved
evaluation     the figures over all validation images
loop           the training itself
"""

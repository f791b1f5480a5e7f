"""Image data: record files, the manifest, the order of samples, the input pipeline and the commands that prepare data.

dataset     what the trainer opens: `open_dataset(folder)`
pipeline    batches of tensors for one rank
order       which record a rank sees at which step
manifest    manifest.json of a dataset folder
records     TFRecord files, read by index and with their checksums
stage       a copy of the dataset on node-local disk
prepare     the command that writes datasets
"""

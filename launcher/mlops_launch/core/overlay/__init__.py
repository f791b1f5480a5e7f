"""The files of an overlay: found, read, edited byte by byte."""

"""The command line: a file a verb, options → one library call → echo."""

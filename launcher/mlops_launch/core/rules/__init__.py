"""The rules of `check`: one module a topic, each rule a pure function over a `Subject`.

`registry` lists them all; this file stays empty so that a `Finding` can be named without loading the rules.
"""

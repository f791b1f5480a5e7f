#!/bin/sh
exec python3 "$MODEL_DIR/models/$MODEL_NAME/main.py" --preset full --precision fp32 "$@"

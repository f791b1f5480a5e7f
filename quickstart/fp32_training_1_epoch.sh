#!/bin/sh
exec python3 "$MODEL_DIR/models/$MODEL_NAME/main.py" --preset "${MLOPS_PRESET:-one_epoch}" --precision fp32 "$@"

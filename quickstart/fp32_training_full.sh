#!/bin/sh
exec python3 "$MODEL_DIR/models/$MODEL_NAME/main.py" --preset "${MLOPS_PRESET:-full}" --precision fp32 "$@"

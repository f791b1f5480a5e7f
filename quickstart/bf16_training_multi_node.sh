#!/bin/sh
exec python3 "$MODEL_DIR/models/$MODEL_NAME/main.py" --comm "${MLOPS_COMM:-horovod}" --precision bf16 "$@"

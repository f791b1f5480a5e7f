"""One rank that opens datasets with the others, one after the other.

`agree.py CASES.json`: a list of [folder of rank 0, folder of rank 1, cache folder, classes]. For each case and rank a line of JSON:
the dataset's fingerprint and a checksum of its training records, or the error's code and message.
"""

import hashlib
import json
import sys
from pathlib import Path

from common.comm import MpiComm
from common.data.agreement import open_on_all_ranks
from common.errors import TrainingError

comm = MpiComm()
comm.hosts = [f"node-{rank}" for rank in range(comm.size)]
for number, (*folders, cache, classes) in enumerate(json.loads(Path(sys.argv[1]).read_text())):
    said: list[object]
    try:
        dataset = open_on_all_ranks(folders[comm.rank], cache, comm, classes=classes or None, label_offset=None, log=lambda line: None)
        train = dataset.splits["train"]
        records = [dataset.files.read(path, *place) for path, *place in map(train.locate, range(train.images))]
        said = [dataset.fingerprint, hashlib.sha256(b"".join(records)).hexdigest()]
    except TrainingError as error:
        said = [error.code, error.message]
    with open(f"{sys.argv[1]}.{comm.rank}", "a", encoding="utf-8") as file:
        print(json.dumps([number, *said]), file=file)

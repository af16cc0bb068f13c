"""python tools/cut_fashion.py: the first 1,500 pictures of each part of Fashion-MNIST, to judge by where it is missing.

Fashion-MNIST is MIT-licensed, © 2017 Zalando SE.
"""

import gzip
from pathlib import Path

from ornstein.domains.images.vision import fashion

KEPT = 1500

if __name__ == "__main__":
    fashion.SAMPLE.mkdir(exist_ok=True)
    for path in sorted(fashion.FOLDER.glob("*.gz")):
        header, record = (16, 784) if "images" in path.name else (8, 1)
        content = gzip.decompress(path.read_bytes())[: header + KEPT * record]
        Path(fashion.SAMPLE / path.name).write_bytes(gzip.compress(content, 9, mtime=0))

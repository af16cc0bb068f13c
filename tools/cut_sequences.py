"""Cuts the shipped sequence families from public packages: python tools/cut_sequences.py DEBS WORK.

DEBS holds the Debian packages metastudent-data 2.0.1, prokka 1.14.6 and bowtie-examples 1.3.1 (`apt-get download`),
WORK is for scratch (2 GB). On the path must be dpkg-deb, blastdbcmd (ncbi-blast+), hmmbuild and hmmsearch (hmmer),
cmfetch and cmemit (infernal); in the Python, pyrodigal, which ornstein itself does not need. Nothing is installed, and
the same packages give the same files, byte for byte.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ornstein.domains.sequences.data import FAMILIES, emit
from ornstein.domains.sequences.formats import Record, read, without_insertions, write_fasta

BOVINE_TRYPSIN = (  # P00760, the mature chain
    "IVGGYTCGANTVPYQVSLNSGYHFCGGSLINSQWVVSAAHCYKSGIQVRLGEDNINVVEGNEQFISASKSIVHPSYNSNTLNNDIMLIKLKSAASLNSRVASISLPTSCA"
    "SAGTQCLISGWGNTKSSGTSYPDVLKCLKAPILSDSSCKSAYPGQITSNMFCAGYLEGGKDSCQGDSGGPVVCSGKLQGIVSWGSGCAQKNKPGVYTKVCNYVSWIKQTIASN"
)
DISULPHIDES = {  # chymotrypsin numbering: columns of the alignment, which are the places in the chain above
    "C22-C157": (6, 136),
    "C42-C58": (24, 40),
    "C128-C232": (108, 209),
    "C136-C201": (115, 182),
    "C168-C182": (147, 161),
    "C191-C220": (172, 196),
}
RIBOSWITCHES = 4000
BEFORE, AFTER = 40, 20  # bases of a window before the start codon's first, and from it on


def main(debs: Path, work: Path) -> None:
    for package in ("metastudent-data", "prokka", "bowtie-examples"):
        run("dpkg-deb", "-x", next(debs.glob(f"{package}_*.deb")), work)
    families = {"trypsin": trypsin(work), "riboswitch": riboswitch(work), "start-sites": start_sites(work)}
    lines = [f"  {json.dumps(name)}: {json.dumps(about)}" for name, about in families.items()]
    (FAMILIES / "families.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def run(*command: object) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def ship(name: str, records: Iterable[Record]) -> str:
    """Writes a gzip'd file into the package, without a time, so that equal records give equal bytes."""
    path = FAMILIES / name
    write_fasta(path, records)
    packed = gzip.compress(path.read_bytes(), 9, mtime=0)
    path.unlink()
    path.with_name(f"{name}.gz").write_bytes(packed)
    return f"{name}.gz"


def trypsin(work: Path) -> dict[str, Any]:
    """Domains of UniProt that a profile of bovine trypsin finds, refined once, in the columns of bovine trypsin."""
    proteins = work / "proteins.fa"
    write_fasta(proteins, uniprot(work))
    query = Record("P00760", "", BOVINE_TRYPSIN)
    found = search([query], proteins, work)
    found = search([query, *found], proteins, work)
    different = {record.sequence: record for record in reversed([query, *found])}
    records = sorted(different.values(), key=lambda record: record.name)
    return {
        "file": ship("trypsin.a3m", records),
        "source": "trypsin-like serine proteases of UniProt 2014_01 (Debian's metastudent-data), CC BY 4.0",
        "pairs": sorted(map(list, DISULPHIDES.values())),
    }


def uniprot(work: Path) -> list[Record]:
    """Each different protein of metastudent's three data sets."""
    found: dict[str, Record] = {}
    for ontology in ("MFO", "BPO", "CCO"):
        database = work / "usr/share/metastudent-data/dataset_201401" / ontology / "goasp.fasta"
        for line in run("blastdbcmd", "-db", database, "-entry", "all", "-outfmt", "%t %s").splitlines():
            title, sequence = line.split()
            found.setdefault(sequence, Record(title.split("|")[0], "", sequence))
    return list(found.values())


def search(aligned: list[Record], proteins: Path, work: Path) -> list[Record]:
    """The domains that match a profile of these records, in its columns, which are theirs."""
    seed, profile, hits = work / "seed.afa", work / "profile.hmm", work / "hits.sto"
    write_fasta(seed, aligned)
    build = ["hmmbuild", "--amino", "--symfrac", "0"] + ["--singlemx"] * (len(aligned) == 1)
    run(*build, profile, seed)
    run("hmmsearch", "--cpu", "1", "--domE", "1e-5", "-E", "1e-5", "--incdomE", "1e-5", "-A", hits, profile, proteins)
    return [record for record in stockholm(hits) if len(record.sequence.replace("-", "")) >= 0.8 * len(BOVINE_TRYPSIN)]


def stockholm(path: Path) -> list[Record]:
    """The match columns of an alignment of HMMER, without records that have letters of no amino acid."""
    rows: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#/":
            name, text = line.split()
            rows[name] = rows.get(name, "") + text
    records = [Record(name, "", without_insertions(text)) for name, text in rows.items()]
    return [record for record in records if not re.search("[^ACDEFGHIKLMNPQRSTVWY-]", record.sequence)]


def riboswitch(work: Path) -> dict[str, Any]:
    """An aligned sample of the covariance model of the SAM riboswitch, and the base pairs of its consensus."""
    model = FAMILIES / "RF00162.cm"
    model.write_text(run("cmfetch", work / "usr/share/prokka/db/cm/Bacteria", "RF00162"))
    texts = emit(model, RIBOSWITCHES)
    structure = consensus(run("cmemit", "-a", "-N", "10", "--seed", "1", model))
    return {
        "file": ship("riboswitch.afa", [Record(f"sample{k}", "", text) for k, text in enumerate(texts, 1)]),
        "source": "samples of Rfam's covariance model RF00162 of the SAM riboswitch (Debian's prokka), CC0",
        "pairs": pairs(structure),
        "structure": structure,
    }


def consensus(alignment: str) -> str:
    """The dot-bracket structure of the consensus columns of a Stockholm alignment."""
    structure, columns = (
        "".join(re.findall(rf"^#=GC {field} +(\S+)$", alignment, re.MULTILINE)) for field in ("SS_cons", "RF")
    )
    kept = "".join(symbol for symbol, column in zip(structure, columns, strict=True) if column != ".")
    return re.sub("[^()]", ".", kept.translate(str.maketrans("<[{>]}", "((()))")))


def pairs(structure: str) -> list[list[int]]:
    opened: list[int] = []
    found: list[list[int]] = []
    for place, symbol in enumerate(structure):
        if symbol == "(":
            opened.append(place)
        elif symbol == ")":
            found.append([opened.pop(), place])
    return sorted(found)


def start_sites(work: Path) -> dict[str, Any]:
    """The bases about the start codon of each gene that pyrodigal finds in the genome of E. coli 536."""
    import pyrodigal  # pyright: ignore[reportMissingImports]

    (genome,) = read(work / "usr/share/doc/bowtie/examples/genomes/NC_008253.fna.gz").records
    finder = pyrodigal.GeneFinder()
    finder.train(genome.sequence.encode())
    windows: dict[str, Record] = {}
    for number, gene in enumerate(finder.find_genes(genome.sequence.encode()), 1):
        window = upstream(genome.sequence, gene)
        if len(window) == BEFORE + AFTER and not gene.partial_begin and not gene.partial_end:
            windows.setdefault(window, Record(f"gene{number}", "", window))
    return {
        "file": ship("start-sites.fna", windows.values()),
        "source": "start sites that pyrodigal finds in E. coli 536, NC_008253 (NCBI, public domain)",
    }


def upstream(genome: str, gene: Any) -> str:
    """The window on the strand of the gene; gene.begin and .end count from 1."""
    if gene.strand > 0:
        start = gene.begin - 1
        return genome[max(0, start - BEFORE) : start + AFTER]
    window = genome[max(0, gene.end - AFTER) : gene.end + BEFORE]
    return window[::-1].translate(str.maketrans("ACGT", "TGCA"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

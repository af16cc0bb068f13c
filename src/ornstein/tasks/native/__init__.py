"""The files of a field, written while samples are drawn: arrays member by member, records of text block by block."""

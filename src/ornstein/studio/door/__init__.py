"""How one comes in: routes over HTTP, who may take them, and what may be asked for, of the command line's own flags."""

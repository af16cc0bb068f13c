"""The studio: a local web app, and the same over HTTP, in front of requests and their streams of events.

    app.py, serving.py, guarding.py    the door: routes, who may come in, how it is started
    forms.py, openapi.py, uploads.py   what may be asked, made of the command line's own table of flags
    studio.py                          what the door talks to: submit, cancel, watch, ask, look at results
    queueing.py                        jobs, and who is next
    workers.py, worker.py              processes that draw and show: the parent's side and the child's
    results.py                         folders of samples as JSON, and the gallery of them
    streaming.py                       what happens to a job as server-sent events

It knows no field: all that a domain says it says through its `Task`. Three kinds of process: the server, which answers
at once and computes nothing; the drawer, which draws one job at a time, since a GPU or CPU is shared; and the viewer
and the judge, which are started when somebody first asks for a picture or a judgement.
"""

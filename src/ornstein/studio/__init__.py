"""The studio: a local web app, and the same over HTTP, in front of requests and their streams of events.

    serving.py   how it is started and ends
    door/        how one comes in: app (routes), guarding (who may), forms and openapi (what may be asked, made of the
                 command line's own table of flags), streaming (what happens to a job as server-sent events)
    engine/      what the door talks to: studio (submit, cancel, watch, ask), queueing (jobs, and who is next), workers
                 and worker (processes that draw and show: the parent's side and the child's), pointing (files that a
                 pointer makes), results (folders of samples as JSON, and the gallery of them)
    uploads/     files that people send and name: store (kept, and removed at the end), contents with archives, kinds,
                 weights and links (whether they are what they say), references (what names them), catalogue (models)
    static/      the page

It knows no field: all that a domain says it says through its `Task`. Three kinds of process: the server, which answers
at once and computes nothing; the drawer, which draws one job at a time, since a GPU or CPU is shared; and the viewer
and the judge, which are started when somebody first asks for a picture or a judgement.
"""

"""Step 2: the backlog, one request's worth of claimed rows after another. Deletes nothing.

    task_count  how many upload loops a backlog is worth
    loop        claims, reads ahead and sends until nothing is left or time is up; several loops side by side
    others      waiting for claims of other runs to be renewed or to end
    readers     the threads that read S3 for one loop
    prepare     from a claimed row to a file part, or to why it needs no upload
    binding     which document of an answer is whose
    unsent      whether S3 gives anything at all, and what of it needs no upload
    sender      one request: the intent, the POST, and every file's outcome

May import ``sync.doubt``, ``sync.processing``, ``sync.report`` (its progress) and what is below them; not the steps
beside it.
"""

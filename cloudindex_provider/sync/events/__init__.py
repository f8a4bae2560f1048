"""Following S3 events: messages of a queue become named-key runs of the syncs that they belong to.

    gather    messages in hand: which keys of which sync they speak of. Pure
    rows      the syncs that follow one stream of events, as a list of their arguments. Pure
    batch     one sync's keys of one gathering, as a run of their own, from the look to the report
    follower  one sync: its open batches, worked off step by step
    consumer  receives, looks, acknowledges, and works the open batches off
    handed    messages that somebody else received, worked off within a time

An event says which key to look at and nothing else. A message is deleted only when what S3 says of all its keys is
committed to the state; from there on it is the work of any run. What events miss, the next full run finds.
"""

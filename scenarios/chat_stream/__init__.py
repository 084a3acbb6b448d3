"""Chat streams: durable messages that are published out of order and must arrive once each.

`subscription` delivers the messages of a chat, `hardened` does so where `subscription` has a hole
left, `promoter` moves queued messages into the history and has a worker answer them. `store` and
`bus` are the doubles of a database and of its notifications, for all three.
"""

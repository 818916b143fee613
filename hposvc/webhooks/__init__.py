"""Telling others that a job ended: where to, what is still to be told, and telling it, in the Standard Webhooks format.

https://www.standardwebhooks.com: the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``, the last
of them HMAC-SHA256 of ``id.timestamp.body``. A message has one id however often it is sent.
"""

"""What a handler's time limit decides without a thread or a clock: figures and the retry page."""

LIMIT = 10.0
PAGE_STATUS = 200
PAGE_HEADERS = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
PAGE = b"<!doctype html><title>Please wait</title><a href=''>Try again</a>\n"

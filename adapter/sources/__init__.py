"""One module per kind of sender: the bytes of a webhook in, a `model.Notification` out.

Each has `parse(body, now)`. It raises `errors.NotJson` for bytes that are no JSON, and
`errors.InvalidNotification` for JSON that names no alerts; nothing else, whatever the bytes are.
"""

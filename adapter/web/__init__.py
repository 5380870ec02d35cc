"""The HTTP surface: `app` puts it together, `hooks` takes webhooks in, `api` shows and steers."""

"""`helm test`: is the service ready, and does it take a webhook? No phone rings for it.

The webhook tells of one alert that is over and never fired, so there is nobody to be called about
it; all else is as always: the credential is checked, the body read, and what it says committed.
Runs in the service's image, with the standard library alone.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request

ALERT = {
    "status": "resolved",
    "labels": {"alertname": "UvmsAdapterHelmTest"},
    "annotations": {},
    "startsAt": "2020-01-01T00:00:00Z",
    "endsAt": "2020-01-01T00:01:00Z",
    "generatorURL": "",
}
WEBHOOK = {
    "version": "4",
    "groupKey": "{}:{}",
    "receiver": "helm-test",
    "status": "resolved",
    "alerts": [ALERT],
    "groupLabels": {},
    "commonLabels": ALERT["labels"],
    "commonAnnotations": {},
    "externalURL": "",
    "truncatedAlerts": 0,
}


FILES = [f"UVMS_WEBHOOK_{name}_FILE" for name in ("TOKEN", "PASSWORD", "HMAC_SECRET")]


def proof(body):
    """Return the headers that let us in, by whichever credential there is."""
    token, password, secret = map(read, FILES)
    if token:
        return {"Authorization": f"Bearer {token}"}
    if password:
        pair = f"{os.environ['UVMS_WEBHOOK_USERNAME']}:{password}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return signature(secret, body) if secret else {}


def signature(secret, body):
    """Sign as Grafana does."""
    header = os.environ.get("UVMS_WEBHOOK_HMAC_HEADER") or "X-Grafana-Alerting-Signature"
    time_header = os.environ.get("UVMS_WEBHOOK_HMAC_TIMESTAMP_HEADER")
    now = str(int(time.time()))  # noqa: TID251 - not a part of the service
    signed = (f"{now}:".encode() if time_header else b"") + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {header: digest} | ({time_header: now} if time_header else {})


def read(variable):
    """Return the secret in the file that a variable names; "" where there is none."""
    path = os.environ.get(variable)
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:  # one of secretFiles, that is brought into the service's Pod alone
        return ""


def ask(url, body=None, headers=None):
    """Return the answer's text, or end with what is wrong."""
    request = urllib.request.Request(url, body, headers or {})  # noqa: S310 - http, by the chart
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        sys.exit(f"{url} answers {error.code}: {error.read().decode(errors='replace')[:500]}")
    except OSError as error:
        sys.exit(f"{url} cannot be reached: {error}")


def main(base):
    """Ask, post, and look at the answer."""
    print("ready:", ask(f"{base}/-/ready"))  # noqa: T201
    body = json.dumps(WEBHOOK).encode()
    proven = proof(body)
    if not proven and any(map(os.environ.get, FILES)):
        print("webhook: not tried, the credential is in the service's Pod alone")  # noqa: T201
        return
    headers = {"Content-Type": "application/json"} | proven
    taken = json.loads(ask(f"{base}/v1/alertmanager", body, headers))
    print("webhook:", json.dumps(taken))  # noqa: T201
    if taken["status"] != "accepted" or taken["calls_total"]:
        sys.exit("a webhook about nothing was not taken as one")


if __name__ == "__main__":
    main(sys.argv[1])

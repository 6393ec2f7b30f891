"""Run by `helm test`: waits for the operator and, where the release makes a default stack, for its MLflow."""

# ruff: noqa: INP001, S310, T201 - a program whose output is the container's log; the chart gives the URLs
import base64
import http.client
import os
import ssl
import sys
import time
import urllib.request


def answers(name: str, url: str, deadline: float, **options: str) -> None:
    """Ask until the answer is good; end with the last word otherwise."""
    context = ssl.create_default_context(cadata=options.get("authorities") or None)
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(url)
    if options.get("username"):
        login = f"{options['username']}:{options['password']}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(login).decode()}")
    told = ""
    while True:
        try:
            with ask.open(request, timeout=10) as answer:
                answer.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f"{name} does not answer at {url}: {error}"
        else:
            print(f"{name} answers at {url}", flush=True)
            return
        if time.monotonic() >= deadline:
            sys.exit(problem)
        if problem != told:
            print(f"waiting: {problem}", flush=True)
            told = problem
        time.sleep(2)


def main() -> None:
    """Check what the environment names."""
    env = os.environ
    deadline = time.monotonic() + float(env["WAIT_SECONDS"])
    answers("the operator", f"{env['OPERATOR_URL']}/readyz", deadline)
    if "TRACKING_URI" in env:
        # This asks the database, which /health does not.
        answers(
            "MLflow",
            f"{env['TRACKING_URI'].rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1",
            deadline,
            authorities=env.get("CA_BUNDLE", ""),
            username=env.get("TRACKING_USERNAME", ""),
            password=env.get("TRACKING_PASSWORD", ""),
        )


if __name__ == "__main__":
    main()

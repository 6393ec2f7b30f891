"""Code over ssh, from a real sshd."""

import os

import pytest

from tests.cluster.shell import run
from tests.contract.fetch import system
from tests.contract.fetch.fetching import Outcome, Pod
from tests.contract.fetch.gitserver import Sshd
from tests.contract.fetch.repositories import Repository


def fetch(pod: Pod, sshd: Sshd, repository: Repository, **keys: str) -> Outcome:
    secret = pod.secret(
        "git", {name.replace("_", "-").replace("known-", "known_"): value for name, value in keys.items()}
    )
    return pod.fetch(pod.job(git={"url": sshd.url(repository.bare), "credentials": secret, "revision": "main"}))


def test_a_key_and_a_known_host(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    outcome = fetch(pod, sshd, repository, ssh_privatekey=sshd.client_key, known_hosts=sshd.known_hosts)
    assert outcome.code == 0, outcome.log + sshd.log
    assert outcome.message["git"]["commit"] == repository.git("rev-parse", "HEAD")
    assert pod.files()["train.py"] == b"print(1)\n"
    assert pod.traces(sshd.client_key.splitlines()[2]) == []
    assert list(pod.tmp.iterdir()) == []


def test_a_user_without_a_name(nobody: Pod, sshd: Sshd, repository: Repository) -> None:
    """spec.runAsUser is in no image's /etc/passwd, and ssh refuses to run without."""
    outcome = fetch(nobody, sshd, repository, ssh_privatekey=sshd.client_key, known_hosts=sshd.known_hosts)
    assert outcome.code == 0, outcome.log + sshd.log
    assert nobody.files()["train.py"] == b"print(1)\n"


def test_a_user_without_a_name_really_needs_the_wrapper(nobody: Pod, sshd: Sshd) -> None:
    told = run([*nobody.wrapper, "ssh", "-p", str(sshd.port), "127.0.0.1", "true"], check=False)
    assert "No user exists for uid 54321" in told.stderr


def test_flux_names_of_keys_and_a_windows_file(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    key = sshd.client_key.replace("\n", "\r\n").rstrip()  # pasted: CRLF, and no final line feed
    outcome = fetch(pod, sshd, repository, identity=key, known_hosts=sshd.known_hosts)
    assert outcome.code == 0, outcome.log + sshd.log


def test_the_short_form_of_an_address(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    # It cannot hold a port, so what is reached is port 22, whoever listens there: the address is understood.
    secret = pod.secret("git", {"ssh-privatekey": sshd.client_key, "known_hosts": sshd.known_hosts})
    git = {"url": f"{sshd.user}@127.0.0.1:{repository.bare}", "credentials": secret}
    outcome = pod.fetch(pod.job(git=git, retry_seconds=1))
    assert outcome.code in {75, 81}
    assert "127.0.0.1" in outcome.error["message"]


def test_without_known_hosts(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    outcome = fetch(pod, sshd, repository, ssh_privatekey=sshd.client_key)
    assert outcome.code == 81
    assert outcome.error["reason"] == "GitHostKeyUntrusted"
    assert outcome.error["field"] == "spec.source.git.credentialsSecretRef"
    assert "ssh-keyscan HOST" in outcome.error["message"]
    assert not sshd.log.count("Connection from")


def test_without_a_secret(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    outcome = pod.fetch(pod.job(git={"url": sshd.url(repository.bare)}))
    assert outcome.code == 81
    assert "needs a Secret with the key known_hosts" in outcome.error["message"]


def test_another_host_key(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    sshd.make_key("impostor")
    kind, key, *_ = (sshd.directory / "impostor.pub").read_text().split()
    known = f"[127.0.0.1]:{sshd.port} {kind} {key}\n"
    outcome = fetch(pod, sshd, repository, ssh_privatekey=sshd.client_key, known_hosts=known)
    assert outcome.code == 81, outcome.log
    assert "is not the one in known_hosts" in outcome.error["message"]


def test_a_host_that_known_hosts_does_not_know(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    known = sshd.known_hosts.replace(f"[127.0.0.1]:{sshd.port}", "github.com")
    outcome = fetch(pod, sshd, repository, ssh_privatekey=sshd.client_key, known_hosts=known)
    assert outcome.code == 81, outcome.log


@pytest.mark.skipif(not system.is_root(), reason="needs root to lay a file over the machine's configuration")
def test_the_machines_own_configuration_does_not_count(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    config, ran = pod.root / "ssh_config", pod.root / "ran"
    config.write_text(f"Host *\n  ProxyCommand touch {ran}\n")
    over = f'mount --bind {config} /etc/ssh/ssh_config && exec "$@"'
    pod.wrapper = ("unshare", "--mount", "sh", "-c", over, "sh")
    run([*pod.wrapper, "ssh", "-p", str(sshd.port), "127.0.0.1", "true"], check=False)
    assert ran.exists()  # so it would have counted
    ran.unlink()
    outcome = fetch(pod, sshd, repository, ssh_privatekey=sshd.client_key, known_hosts=sshd.known_hosts)
    assert outcome.code == 0, outcome.log
    assert not ran.exists()


def test_a_key_the_server_does_not_know(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    outcome = fetch(pod, sshd, repository, ssh_privatekey=sshd.make_key("other"), known_hosts=sshd.known_hosts)
    assert outcome.code == 80, outcome.log
    assert "the server refused the ssh key" in outcome.error["message"]


def test_a_key_with_a_passphrase(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    key = sshd.make_key("locked", passphrase="secret words")
    outcome = fetch(pod, sshd, repository, ssh_privatekey=key, known_hosts=sshd.known_hosts)
    assert outcome.code == 78, outcome.log
    assert "ssh-privatekey has a passphrase" in outcome.error["message"]


def test_a_key_that_is_none(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    outcome = fetch(pod, sshd, repository, ssh_privatekey="ssh-ed25519 AAAA public", known_hosts=sshd.known_hosts)
    assert outcome.code == 78, outcome.log
    assert "is no private key that ssh can read" in outcome.error["message"]


def test_the_secret_of_a_password_does_not_fit_ssh(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    outcome = fetch(pod, sshd, repository, username="u", password="p", known_hosts=sshd.known_hosts)
    assert outcome.code == 78
    assert "no key ssh-privatekey or identity" in outcome.error["message"]


def test_a_missing_repository(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    secret = pod.secret("git", {"ssh-privatekey": sshd.client_key, "known_hosts": sshd.known_hosts})
    url = sshd.url(repository.bare.with_name("none.git"))
    outcome = pod.fetch(pod.job(git={"url": url, "credentials": secret}))
    assert outcome.code == 82, outcome.log


def test_nobody_answers(pod: Pod, sshd: Sshd, repository: Repository) -> None:
    secret = pod.secret("git", {"ssh-privatekey": sshd.client_key, "known_hosts": sshd.known_hosts})
    url = sshd.url(repository.bare).replace(str(sshd.port), "1")
    outcome = pod.fetch(pod.job(git={"url": url, "credentials": secret}, retry_seconds=2))
    assert outcome.code == 75, outcome.log
    assert "Connection refused" in outcome.error["message"]
    assert os.listdir(pod.workspace) == []  # noqa: PTH208

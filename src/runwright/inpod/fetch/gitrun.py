"""Running git: an environment with nothing of the machine's, credentials by file only, its messages understood."""

import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runwright.inpod.fetch.credentials import Redactor, Secret, ca_bundle
from runwright.inpod.fetch.giturl import SECRET_FIELD, URL_FIELD, Remote
from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError
from runwright.inpod.fetch.setting import Setting

_KEPT: Final = (
    "PATH",
    *(name for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (proxy, proxy.upper())),
)
_CONFIG: Final = (
    ("core.hooksPath", "/dev/null"),
    ("credential.helper", ""),  # an empty value forgets all helpers before it
    ("http.lowSpeedLimit", "1000"),  # bytes per second; a connection slower than that for so many
    ("http.lowSpeedTime", "60"),  # seconds is a dead one
    ("protocol.version", "2"),
    ("core.autocrlf", "false"),
    ("maintenance.auto", "false"),
    ("gc.auto", "0"),
    ("advice.detachedHead", "false"),
    ("submodule.recurse", "false"),
)
_SSH: Final = (
    "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no "
    "-o CheckHostIP=no -o IdentitiesOnly=yes -o IdentityAgent=none -o ForwardAgent=no -o PasswordAuthentication=no "
    "-o KbdInteractiveAuthentication=no -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 "
    "-o LogLevel=ERROR"
)
_CREDENTIAL_REMEDY: Final = "check the Secret's keys username and password (or token), its expiry and its rights"

# What git, curl and ssh say (LC_ALL=C), in order: the first that fits wins.
_MEANINGS: Final[tuple[tuple[str, Reason, str, str, str], ...]] = (
    (
        r"No space left on device|Disk quota exceeded",
        *(Reason.DISK_FULL, URL_FIELD, "no room for the repository on the node's disk"),
        "raise resourcesPerNode.ephemeral-storage or choose nodes with more",
    ),
    (
        r"Host key verification failed|IDENTIFICATION HAS CHANGED|No \S+ host key is known",
        *(Reason.GIT_HOST_KEY, SECRET_FIELD, "the server's host key is not the one in known_hosts"),
        "compare its key with what the host publishes, then put the output of `ssh-keyscan HOST` into known_hosts",
    ),
    (
        r"SSL certificate problem|certificate verif|server verification failed|SSL: no alternative|get local issuer",
        *(Reason.CERTIFICATE, URL_FIELD, "the server's TLS certificate is not trusted"),
        "put its certificate authority into the Secret's key ca.crt",
    ),
    (
        r"Permission denied \(|Load key .*: |no mutual signature",
        *(Reason.GIT_AUTHENTICATION, SECRET_FIELD, "the server refused the ssh key"),
        "add its public half to the repository's deploy keys, or use the right private key",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|returned error: 40[13]|Invalid username",
        *(Reason.GIT_AUTHENTICATION, SECRET_FIELD, "the server wants other credentials"),
        _CREDENTIAL_REMEDY,
    ),
    (
        r"epository .*not found|returned error: 4(04|10)|not appear to be a git|is this a git repo|could not be found",
        *(Reason.GIT_REPOSITORY, URL_FIELD, "there is no such repository, or the credentials may not see it"),
        "check the address and credentialsSecretRef",
    ),
    (
        r"unable to update url base from redirection",
        *(Reason.GIT_REPOSITORY, URL_FIELD, "the server sends elsewhere, and there is no repository"),
        "check the address; a login page answers so, too",
    ),
)
_NOISE: Final = (
    "@",
    "Could not read from remote repository.",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
)
_REFUSED_WANT: Final = re.compile(
    r"not our ref|unadvertised object|[Cc]ouldn't find remote ref|want .* not valid|no such remote ref|"
    r"remote error: .*(not found|unknown) .*object"
)


class RefusedWantError(TroubleError):
    """The server does not hand out this object by name, or does not have it."""


def understand(output: str, remote: Remote) -> Exception:
    """Turn git's failure into what it means: a `FetchError` that ends the fetch, or a trouble to try again."""
    lines = [line.removeprefix("fatal: ").removeprefix("error: ") for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(_NOISE)]
    said = next(iter(lines), "git said nothing")
    if _REFUSED_WANT.search(output):
        return RefusedWantError(said)
    for pattern, reason, field, message, remedy in _MEANINGS:
        if re.search(pattern, output):
            where = f"{message} ({remote.origin}: {said.strip()[:300]})"
            return FetchError(reason, field, where, remedy)
    return TroubleError(f"{remote.origin}: {' '.join(lines[-3:])[:400] or said}")


class Git:
    """git for one remote.

    Args:
        remote: Where from.
        secret: Its credentials.
        setting: Shared by all parts.

    Raises:
        FetchError: git is not installed, or the credentials don't fit the transport.
    """

    def __init__(self, remote: Remote, secret: Secret, setting: Setting) -> None:
        if shutil.which("git") is None:
            raise FetchError(
                Reason.INTERNAL, URL_FIELD, "this image has no git", "use the operator's own image to fetch"
            )
        self._remote = remote
        private, redactor = setting.private, setting.redactor
        self._redactor = redactor
        self._environment = _base_environment(private)
        self._environment["GIT_ALLOW_PROTOCOL"] = "http:https" if remote.transport == "http" else remote.transport
        config = list(_CONFIG)
        if remote.transport != "ssh":
            config += _https(remote, secret, redactor)
            if bundle := ca_bundle(
                private / "git-ca.pem", [secret.path("ca.crt", "caFile"), setting.authority], SECRET_FIELD
            ):
                config.append(("http.sslCAInfo", str(bundle)))
            elif inherited := os.environ.get("GIT_SSL_CAINFO"):
                config.append(("http.sslCAInfo", inherited))
        else:
            self._environment |= _ssh(secret, private, redactor)
        self._environment["GIT_CONFIG_COUNT"] = str(len(config))
        for number, (key, value) in enumerate(config):
            self._environment[f"GIT_CONFIG_KEY_{number}"] = key
            self._environment[f"GIT_CONFIG_VALUE_{number}"] = value

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run git and return its output.

        Raises:
            FetchError: It failed for a reason that stays.
            RefusedWantError: The server refused an object.
            TroubleError: It failed otherwise.
        """
        process = subprocess.Popen(  # noqa: S603  # arguments are checked names; no shell
            ["git", *arguments],  # noqa: S607  # the image's git
            env={**self._environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = process.communicate()
        except BaseException:
            # SIGTERM: git's children (ssh, index-pack) are in its session.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        said = self._redactor.clean(err.decode(errors="replace"))
        if process.returncode:
            raise understand(said, self._remote)
        return out.decode(errors="surrogateescape")


def _base_environment(private: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "HOME": str(private),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_COMMITTER_NAME": "runwright",  # git looks up the user's name otherwise, and containers have none
        "GIT_COMMITTER_EMAIL": "runwright@localhost",
    }


def _https(remote: Remote, secret: Secret, redactor: Redactor) -> list[tuple[str, str]]:
    """Return configuration that answers this origin, and no other a redirect may lead to."""
    if secret.folder is None:
        return []
    password = secret.path("password", "token", "bearerToken")
    if password is None:
        if secret.path("ca.crt", "caFile"):
            return []  # a public repository behind a private authority
        raise FetchError(
            Reason.CREDENTIALS,
            SECRET_FIELD,
            "the Secret has no key password (or token)",
            "https needs it; ssh keys need ssh://",
        )
    if remote.transport == "http":
        raise FetchError(
            *(Reason.INVALID_JOB, URL_FIELD, "http:// would send the credentials unencrypted"),
            "use https://, or leave out credentialsSecretRef if the repository is open",
        )
    redactor.learn(secret.text(password.name))
    username = secret.path("username")
    user = f'"$(tr -d "\\r\\n" < {shlex.quote(str(username))})"' if username else "git"
    # Builtins and redirections only: nothing secret becomes an argument of a process.
    helper = (
        "!f() { test \"$1\" = get || exit 0; printf 'username=%s\\npassword=%s\\n' "
        f'{user} "$(tr -d "\\r\\n" < {shlex.quote(str(password))})"; }}; f'
    )
    return [(f"credential.{remote.origin}.helper", helper), ("http.proactiveAuth", "basic")]


def _ssh(secret: Secret, private: Path, redactor: Redactor) -> dict[str, str]:
    known = secret.text("known_hosts")
    if not known:
        raise FetchError(
            Reason.GIT_HOST_KEY,
            SECRET_FIELD,
            "ssh needs a Secret with the key known_hosts",
            "add the output of `ssh-keyscan HOST`, compared with what the host publishes",
        )
    key = secret.require("ssh-privatekey", "identity").replace("\r", "") + "\n"
    redactor.learn(*key.splitlines()[1:-1])
    environment = _user_name(private)
    for name, content in (("known_hosts", known + "\n"), ("key", key)):
        file = private / name
        file.touch(mode=0o600)
        file.write_text(content)
    _check_key(private / "key", environment)
    known_hosts, identity = (shlex.quote(str(private / name)) for name in ("known_hosts", "key"))
    command = f"{_SSH} -o UserKnownHostsFile={known_hosts} -i {identity}"
    # Only ssh gets the stand-in for /etc/passwd.
    prefix = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    return {"GIT_SSH_COMMAND": f"{prefix} {command}".strip(), "GIT_SSH_VARIANT": "ssh"}


def _check_key(key: Path, environment: Mapping[str, str]) -> None:
    told = subprocess.run(  # noqa: S603  # fixed arguments
        ["ssh-keygen", "-y", "-P", "", "-f", str(key)],  # noqa: S607  # the image's
        env={**os.environ, "LC_ALL": "C", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        why = "has a passphrase" if "passphrase" in told.stderr else "is no private key that ssh can read"
        raise FetchError(
            Reason.CREDENTIALS, SECRET_FIELD, f"ssh-privatekey {why}", "use an unencrypted key made for this repository"
        )


def _user_name(private: Path) -> dict[str, str]:
    """Return what lets ssh run under a uid without a name, which it refuses to.

    runAsUser is the user's choice, so no image can know it. nss_wrapper (Debian's libnss-wrapper) gives one process an
    /etc/passwd of its own.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        pass
    else:
        return {}
    library = next((str(one) for one in sorted(Path("/usr/lib").glob("**/libnss_wrapper.so*"))), None)
    if library is None:
        raise FetchError(
            Reason.INTERNAL,
            "spec.runAsUser",
            f"ssh does not run as user {uid}, which has no name in this image, and libnss-wrapper is not in it",
            "use the operator's own image to fetch, or https",
        )
    (private / "passwd").write_text(f"runwright:x:{uid}:{gid}:runwright:{private}:/bin/sh\n")
    (private / "group").write_text(f"runwright:x:{gid}:\n")
    return {
        "LD_PRELOAD": library,
        "NSS_WRAPPER_PASSWD": str(private / "passwd"),
        "NSS_WRAPPER_GROUP": str(private / "group"),
    }

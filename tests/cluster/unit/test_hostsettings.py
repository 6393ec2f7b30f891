"""An image build downloads packages the way its machine does."""

import configparser
from pathlib import Path

from tests.cluster.hostsettings import apt_configuration, ca_bundle, pip_configuration

PIP = """\
:env:.cert='/etc/here.crt'
:env:.find-links='/opt/here'
global.index-url='https://index.example/simple'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
global.cert='/etc/here.crt'
install.trusted-host='index.example'
:env:.default-timeout='180'
"""
APT = """\
APT "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::Proxy "DIRECT";
Acquire::https::CAInfo "/etc/here.crt";
Acquire::http::Pipeline-Depth "5";
"""


def test_pip_settings() -> None:
    parsed = configparser.ConfigParser()
    parsed.read_string(pip_configuration(PIP, ca_file="/run/ca.crt"))
    assert dict(parsed["global"]) == {
        "disable-pip-version-check": "true",
        "cert": "/run/ca.crt",
        "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "index-url": "https://index.example/simple",
        "timeout": "180",
        "trusted-host": "index.example",
    }


def test_pip_without_settings() -> None:
    assert pip_configuration("", ca_file=None) == "[global]\ndisable-pip-version-check = true\n"


def test_apt_settings() -> None:
    assert apt_configuration(APT, ca_file="/run/ca.crt").splitlines() == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::Proxy "DIRECT";',
        'Acquire::https::CAInfo "/run/ca.crt";',
    ]
    assert apt_configuration('APT "";\n', ca_file=None) == ""


def test_ca_bundle_is_the_one_the_environment_names(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.touch()
    assert ca_bundle({"SSL_CERT_FILE": str(file)}) == file
    assert ca_bundle({"PIP_CERT": str(tmp_path / "missing"), "CURL_CA_BUNDLE": str(file)}) == file
    assert ca_bundle({}) is None

"""The CustomResourceDefinitions as text, made from the models."""

from runwright.apis.crd import generated_files


def text() -> str:
    """Return all CRDs as one YAML stream."""
    files = generated_files()
    return "".join(f"---\n{content}" for path, content in sorted(files.items()) if path.startswith("crds/"))

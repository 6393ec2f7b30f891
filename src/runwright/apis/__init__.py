"""What users write: the models of the API, from which the CRDs and the API reference are generated."""

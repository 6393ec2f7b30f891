"""The init container that brings code (Git) and data (S3) into a training pod, before its image starts.

``python -m runwright.inpod.fetch`` reads one job description (`job.FetchJob`), fills the workspace and the datasets'
mounts, and reports through its exit code (`problems.Reason`) and the container's termination message
(`report.Report`). It runs in the operator's image; Git and S3 credentials are files that only it mounts.
"""

"""One file a format: bytes to arrays, with where in the bytes each number stands.

``scan(data, path)`` is what of it a scan has, where :mod:`posetx.files.scans` names the module.

Shared by the scan readers and the targets. Own code rather than a library's, because a target must
come back with everything but its positions untouched, and because a header that lies about its
counts must not allocate anything.
"""

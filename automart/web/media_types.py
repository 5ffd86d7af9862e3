"""The media types of requests and responses."""

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"  # RFC 9457
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
HTML = "text/html"

"""HTTP for every service: bounds, problem details, strict bodies and queries, access rules."""

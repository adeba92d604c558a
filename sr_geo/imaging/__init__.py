"""Pictures outside GIS: photos, X-rays and CT, number plates, faces. One seam, `enlarge`, for all of them."""

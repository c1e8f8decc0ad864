"""A store on a URL: shared artifacts on any fsspec file system that can write a file only if it is not there yet."""

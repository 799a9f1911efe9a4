"""Small networks that come inside a package: faces, their mesh, their eyes, people."""

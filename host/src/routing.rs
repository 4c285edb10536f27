//! Where mail for an address goes: policies first, then the directory.

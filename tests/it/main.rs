//! Black-box tests of tripline, in one binary.

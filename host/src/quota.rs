//! Quota: the lowest ceiling of account and policies, enforced by the store in the commit itself.

//! DefaultPrincipalData: whom a forwarded request comes from (KIP-590). It stands in an Envelope behind its version.

use crate::wire::declare::declare;

declare! {
    message PrincipalData, 0..=0, flexible 0.. {
        kind: String, 0..;
        name: String, 0..;
        token_authenticated: bool, 0..;
    }
}

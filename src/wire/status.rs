//! Status codes by name: faults, bind rejections, endpoint mapper results.

use std::fmt;

/// Declares a status newtype: its named values, `name` and `Display`.
macro_rules! status {
    ($(#[$doc:meta])* $type:ident($repr:ty) { $($(#[$item:meta])* $constant:ident = $value:literal $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub $repr);

        impl $type {
            $($(#[$item])* #[doc = concat!("`", $name, "`.")] pub const $constant: Self = Self($value);)*

            /// The standard's name, if the value has one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{name} ({:#x})", self.0),
                    None => write!(f, "unknown status {:#x}", self.0),
                }
            }
        }
    };
}

status! {
    /// The status of a fault PDU.
    ///
    /// # Source
    /// C706 appendix E; MS-RPCE 3.1.1.5.5 for the Win32 codes that Windows puts here.
    FaultStatus(u32) {
        INT_DIV_BY_ZERO = 0x1c00_0001 "nca_s_fault_int_div_by_zero",
        ADDR_ERROR = 0x1c00_0002 "nca_s_fault_addr_error",
        FP_DIV_ZERO = 0x1c00_0003 "nca_s_fault_fp_div_zero",
        FP_UNDERFLOW = 0x1c00_0004 "nca_s_fault_fp_underflow",
        FP_OVERFLOW = 0x1c00_0005 "nca_s_fault_fp_overflow",
        INVALID_TAG = 0x1c00_0006 "nca_s_fault_invalid_tag",
        INVALID_BOUND = 0x1c00_0007 "nca_s_fault_invalid_bound",
        RPC_VERSION_MISMATCH = 0x1c00_0008 "nca_s_rpc_version_mismatch",
        UNSPEC_REJECT = 0x1c00_0009 "nca_s_unspec_reject",
        BAD_ACTID = 0x1c00_000a "nca_s_bad_actid",
        WHO_ARE_YOU_FAILED = 0x1c00_000b "nca_s_who_are_you_failed",
        MANAGER_NOT_ENTERED = 0x1c00_000c "nca_s_manager_not_entered",
        CANCEL = 0x1c00_000d "nca_s_fault_cancel",
        ILL_INST = 0x1c00_000e "nca_s_fault_ill_inst",
        FP_ERROR = 0x1c00_000f "nca_s_fault_fp_error",
        INT_OVERFLOW = 0x1c00_0010 "nca_s_fault_int_overflow",
        UNSPEC = 0x1c00_0012 "nca_s_fault_unspec",
        REMOTE_COMM_FAILURE = 0x1c00_0013 "nca_s_fault_remote_comm_failure",
        PIPE_EMPTY = 0x1c00_0014 "nca_s_fault_pipe_empty",
        PIPE_CLOSED = 0x1c00_0015 "nca_s_fault_pipe_closed",
        PIPE_ORDER = 0x1c00_0016 "nca_s_fault_pipe_order",
        PIPE_DISCIPLINE = 0x1c00_0017 "nca_s_fault_pipe_discipline",
        PIPE_COMM_ERROR = 0x1c00_0018 "nca_s_fault_pipe_comm_error",
        PIPE_MEMORY = 0x1c00_0019 "nca_s_fault_pipe_memory",
        CONTEXT_MISMATCH = 0x1c00_001a "nca_s_fault_context_mismatch",
        REMOTE_NO_MEMORY = 0x1c00_001b "nca_s_fault_remote_no_memory",
        INVALID_PRES_CONTEXT_ID = 0x1c00_001c "nca_s_invalid_pres_context_id",
        UNSUPPORTED_AUTHN_LEVEL = 0x1c00_001d "nca_s_unsupported_authn_level",
        INVALID_CHECKSUM = 0x1c00_001f "nca_s_invalid_checksum",
        INVALID_CRC = 0x1c00_0020 "nca_s_invalid_crc",
        USER_DEFINED = 0x1c00_0021 "nca_s_fault_user_defined",
        TX_OPEN_FAILED = 0x1c00_0022 "nca_s_fault_tx_open_failed",
        CODESET_CONV_ERROR = 0x1c00_0023 "nca_s_fault_codeset_conv_error",
        OBJECT_NOT_FOUND = 0x1c00_0024 "nca_s_fault_object_not_found",
        NO_CLIENT_STUB = 0x1c00_0025 "nca_s_fault_no_client_stub",
        COMM_FAILURE = 0x1c01_0001 "nca_s_comm_failure",
        OP_RNG_ERROR = 0x1c01_0002 "nca_s_op_rng_error",
        UNK_IF = 0x1c01_0003 "nca_s_unk_if",
        WRONG_BOOT_TIME = 0x1c01_0006 "nca_s_wrong_boot_time",
        YOU_CRASHED = 0x1c01_0009 "nca_s_you_crashed",
        PROTO_ERROR = 0x1c01_000b "nca_s_proto_error",
        OUT_ARGS_TOO_BIG = 0x1c01_0013 "nca_s_out_args_too_big",
        SERVER_TOO_BUSY = 0x1c01_0014 "nca_s_server_too_busy",
        FAULT_STRING_TOO_LONG = 0x1c01_0015 "nca_s_fault_string_too_long",
        UNSUPPORTED_TYPE = 0x1c01_0017 "nca_s_unsupported_type",
        ACCESS_DENIED = 5 "access denied",
        SERVER_UNAVAILABLE = 0x6ba "RPC server unavailable",
        NO_CALL_ACTIVE = 0x6bd "no call active",
        INVALID_BOUND_WIN32 = 0x6c6 "array bounds invalid",
        CANT_PERFORM = 0x6d8 "cannot perform",
        NOT_REGISTERED = 0x6d9 "not registered",
        BAD_STUB_DATA = 0x6f7 "bad stub data",
        SEC_PKG_ERROR = 0x721 "security package error",
    }
}

status! {
    /// Why a bind was refused altogether: `provider_reject_reason`.
    ///
    /// # Source
    /// C706 12.6.3.1; MS-RPCE 2.2.2.5 for 8 and 9.
    RejectReason(u16) {
        NOT_SPECIFIED = 0 "reason not specified",
        TEMPORARY_CONGESTION = 1 "temporary congestion",
        LOCAL_LIMIT_EXCEEDED = 2 "local limit exceeded",
        CALLED_PADDR_UNKNOWN = 3 "called paddr unknown",
        PROTOCOL_VERSION_NOT_SUPPORTED = 4 "protocol version not supported",
        DEFAULT_CONTEXT_NOT_SUPPORTED = 5 "default context not supported",
        USER_DATA_NOT_READABLE = 6 "user data not readable",
        NO_PSAP_AVAILABLE = 7 "no psap available",
        AUTHENTICATION_TYPE_NOT_RECOGNIZED = 8 "authentication type not recognized",
        INVALID_CHECKSUM = 9 "invalid checksum",
    }
}

status! {
    /// The answer to one presentation context: `p_cont_def_result_t`.
    ///
    /// # Source
    /// C706 12.6.3.1; MS-RPCE 2.2.2.4 for 3.
    ContextResult(u16) {
        ACCEPTANCE = 0 "acceptance",
        USER_REJECTION = 1 "user rejection",
        PROVIDER_REJECTION = 2 "provider rejection",
        NEGOTIATE_ACK = 3 "negotiate ack",
    }
}

status! {
    /// Why one presentation context was rejected: `p_provider_reason_t`.
    ///
    /// # Source
    /// C706 12.6.3.1.
    ProviderReason(u16) {
        NOT_SPECIFIED = 0 "reason not specified",
        ABSTRACT_SYNTAX_NOT_SUPPORTED = 1 "abstract syntax not supported",
        PROPOSED_TRANSFER_SYNTAXES_NOT_SUPPORTED = 2 "proposed transfer syntaxes not supported",
        LOCAL_LIMIT_EXCEEDED = 3 "local limit exceeded",
    }
}

status! {
    /// The `error_status_t` that ends every reply of ept and mgmt.
    ///
    /// # Source
    /// DCE "rpc" component, 0x16c9a000 + n; Win32 codes as Samba sends them.
    EptStatus(u32) {
        OK = 0 "ok",
        NO_MEMORY = 0x16c9_a012 "rpc_s_no_memory",
        INVALID_INQUIRY_TYPE = 0x16c9_a0a9 "rpc_s_invalid_inquiry_type",
        INVALID_VERS_OPTION = 0x16c9_a0bd "rpc_s_invalid_vers_option",
        CANT_PERFORM_OP = 0x16c9_a0cd "ept_s_cant_perform_op",
        EPT_NO_MEMORY = 0x16c9_a0ce "ept_s_no_memory",
        DATABASE_INVALID = 0x16c9_a0cf "ept_s_database_invalid",
        CANT_CREATE = 0x16c9_a0d0 "ept_s_cant_create",
        CANT_ACCESS = 0x16c9_a0d1 "ept_s_cant_access",
        DATABASE_ALREADY_OPEN = 0x16c9_a0d2 "ept_s_database_already_open",
        INVALID_ENTRY = 0x16c9_a0d3 "ept_s_invalid_entry",
        UPDATE_FAILED = 0x16c9_a0d4 "ept_s_update_failed",
        INVALID_CONTEXT = 0x16c9_a0d5 "ept_s_invalid_context",
        NOT_REGISTERED = 0x16c9_a0d6 "ept_s_not_registered",
        SERVER_UNAVAILABLE = 0x16c9_a0d7 "ept_s_server_unavailable",
        ACCESS_DENIED = 5 "access denied",
        NOT_SUPPORTED = 50 "request not supported",
        INSUFFICIENT_BUFFER = 122 "insufficient buffer",
        UNKNOWN_AUTHN_SERVICE = 1747 "unknown authentication service",
        WIN32_CANT_PERFORM_OP = 0x6d8 "EPT_S_CANT_PERFORM_OP",
        WIN32_NOT_REGISTERED = 0x6d9 "EPT_S_NOT_REGISTERED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_shows_its_name_and_number() {
        assert_eq!(
            EptStatus::NOT_REGISTERED.to_string(),
            "ept_s_not_registered (0x16c9a0d6)"
        );
        assert_eq!(FaultStatus(7).to_string(), "unknown status 0x7");
    }
}

//! The schema: Elastic Common Schema names with their types, and our own `db.*`, `pos.*`, `tail.*`.
//!
//! One table. Parsers and rules are checked against it when they load, and every name that a
//! parser or a rule uses is interned to a [`FieldId`] then, so that an event carries numbers.

use std::collections::HashMap;

/// The type of a schema field (ECS 9: keyword, text, long, ip, date, float, boolean, object).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// A short text, compared whole.
    Keyword,
    /// A long text.
    Text,
    /// Several short texts.
    Keywords,
    /// Several addresses.
    Ips,
    /// Several hardware addresses.
    Macs,
    /// One IPv4 or IPv6 address.
    Ip,
    /// A whole number.
    Long,
    /// Any number.
    Float,
    /// `true` or `false`.
    Bool,
    /// An RFC 3339 time.
    Date,
    /// An object with free keys.
    Object,
}

/// One row of the schema.
#[derive(Debug, Clone, Copy)]
pub struct SchemaField {
    /// Dotted name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: FieldType,
}

/// An interned field name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// The name of an event's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// A name some parser, rule or the schema uses.
    Id(FieldId),
    /// A name that only this record has: nothing can ask for it, it is only shown.
    Name(&'a str),
}

/// Names that may be interned at most; a rule set that needs more is refused.
pub const FIELDS_MAX: usize = 60_000;

/// All interned names: the schema first, then those of rules and parsers.
#[derive(Debug, Clone)]
pub struct FieldTable {
    names: Vec<Box<str>>,
    index: HashMap<Box<str>, FieldId>,
}

impl Default for FieldTable {
    fn default() -> Self {
        let mut table = Self { names: Vec::new(), index: HashMap::new() };
        for field in SCHEMA {
            table.intern(field.name);
        }
        table
    }
}

impl FieldTable {
    /// The number of a name, new if it must be. Beyond [`FIELDS_MAX`] names, the last one stands
    /// for all that follow; loading reports that.
    pub fn intern(&mut self, name: &str) -> FieldId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        if self.names.len() >= FIELDS_MAX {
            return FieldId(FIELDS_MAX as u16 - 1);
        }
        let id = FieldId(self.names.len() as u16);
        self.names.push(name.into());
        self.index.insert(name.into(), id);
        id
    }

    /// The number of a name, if something uses it.
    pub fn lookup(&self, name: &str) -> Option<FieldId> {
        self.index.get(name).copied()
    }

    /// The key for a name that a record brought.
    pub fn key<'a>(&self, name: &'a str) -> Key<'a> {
        self.lookup(name).map_or(Key::Name(name), Key::Id)
    }

    /// The name of a number.
    pub fn name(&self, id: FieldId) -> &str {
        self.names.get(usize::from(id.0)).map_or("", AsRef::as_ref)
    }

    /// The schema row of a number; `None` for a name outside the schema.
    pub fn schema(&self, id: FieldId) -> Option<&'static SchemaField> {
        SCHEMA.get(usize::from(id.0))
    }

    /// How many names are interned.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: the schema is always there.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

macro_rules! schema {
    ($($constant:ident $name:literal $kind:ident,)*) => {
        /// Every field of the schema, sorted by name; the position is the [`FieldId`].
        pub const SCHEMA: &[SchemaField] = &[
            $(SchemaField { name: $name, kind: FieldType::$kind },)*
        ];

        /// The numbers of the schema's names.
        pub mod ecs {
            use super::FieldId;

            #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "positions of the table")]
            #[repr(u16)]
            enum Position { $($constant,)* }

            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: FieldId = FieldId(Position::$constant as u16);
            )*
        }
    };
}

schema! {
    AT_TIMESTAMP "@timestamp" Date,
    AGENT_ID "agent.id" Keyword,
    AGENT_NAME "agent.name" Keyword,
    AGENT_TYPE "agent.type" Keyword,
    AGENT_VERSION "agent.version" Keyword,
    AUDITD_KEY "auditd.key" Keyword,
    AUDITD_RECORD_TYPE "auditd.record_type" Keyword,
    AUDITD_SYSCALL "auditd.syscall" Keyword,
    CLIENT_DOMAIN "client.domain" Keyword,
    CLIENT_IP "client.ip" Ip,
    CLOUD_ACCOUNT_ID "cloud.account.id" Keyword,
    CLOUD_PROVIDER "cloud.provider" Keyword,
    CLOUD_REGION "cloud.region" Keyword,
    CONTAINER_ID "container.id" Keyword,
    CONTAINER_IMAGE_NAME "container.image.name" Keyword,
    CONTAINER_NAME "container.name" Keyword,
    CRON_COMMAND "cron.command" Keyword,
    DB_AFTER "db.after" Object,
    DB_APPLICATION "db.application" Keyword,
    DB_BEFORE "db.before" Object,
    DB_CHANGED "db.changed" Object,
    DB_KEY "db.key" Object,
    DB_LOCK_TIME "db.lock_time" Float,
    DB_NAME "db.name" Keyword,
    DB_OBJECT "db.object" Keyword,
    DB_OP "db.op" Keyword,
    DB_OPERATION "db.operation" Keyword,
    DB_PARTIAL "db.partial" Bool,
    DB_POSITION "db.position" Keyword,
    DB_QUERY_TIME "db.query_time" Float,
    DB_ROWS_AFFECTED "db.rows_affected" Long,
    DB_ROWS_EXAMINED "db.rows_examined" Long,
    DB_ROWS_SENT "db.rows_sent" Long,
    DB_SCHEMA "db.schema" Keyword,
    DB_SESSION_ID "db.session_id" Long,
    DB_SQLSTATE "db.sqlstate" Keyword,
    DB_STATEMENT "db.statement" Keyword,
    DB_SYSTEM "db.system" Keyword,
    DB_TABLE "db.table" Keyword,
    DB_TRANSACTION_ID "db.transaction.id" Keyword,
    DB_USER "db.user" Keyword,
    DESTINATION_ADDRESS "destination.address" Keyword,
    DESTINATION_BYTES "destination.bytes" Long,
    DESTINATION_DOMAIN "destination.domain" Keyword,
    DESTINATION_IP "destination.ip" Ip,
    DESTINATION_MAC "destination.mac" Keyword,
    DESTINATION_NAT_IP "destination.nat.ip" Ip,
    DESTINATION_NAT_PORT "destination.nat.port" Long,
    DESTINATION_PACKETS "destination.packets" Long,
    DESTINATION_PORT "destination.port" Long,
    DESTINATION_USER_NAME "destination.user.name" Keyword,
    DEVICE_ID "device.id" Keyword,
    DEVICE_SERIAL_NUMBER "device.serial_number" Keyword,
    DNS_ID "dns.id" Keyword,
    DNS_QUESTION_NAME "dns.question.name" Keyword,
    DNS_QUESTION_TYPE "dns.question.type" Keyword,
    DNS_RESPONSE_CODE "dns.response_code" Keyword,
    ECS_VERSION "ecs.version" Keyword,
    ERROR_CODE "error.code" Keyword,
    ERROR_MESSAGE "error.message" Text,
    ERROR_STACK_TRACE "error.stack_trace" Keyword,
    ERROR_TYPE "error.type" Keyword,
    EVENT_ACTION "event.action" Keyword,
    EVENT_CATEGORY "event.category" Keywords,
    EVENT_CODE "event.code" Keyword,
    EVENT_COUNT "event.count" Long,
    EVENT_CREATED "event.created" Date,
    EVENT_DATASET "event.dataset" Keyword,
    EVENT_DURATION "event.duration" Long,
    EVENT_END "event.end" Date,
    EVENT_HASH "event.hash" Keyword,
    EVENT_ID "event.id" Keyword,
    EVENT_INGESTED "event.ingested" Date,
    EVENT_KIND "event.kind" Keyword,
    EVENT_MODULE "event.module" Keyword,
    EVENT_ORIGINAL "event.original" Keyword,
    EVENT_OUTCOME "event.outcome" Keyword,
    EVENT_PROVIDER "event.provider" Keyword,
    EVENT_REASON "event.reason" Keyword,
    EVENT_RISK_SCORE "event.risk_score" Float,
    EVENT_SEQUENCE "event.sequence" Long,
    EVENT_SEVERITY "event.severity" Long,
    EVENT_START "event.start" Date,
    EVENT_TIMEZONE "event.timezone" Keyword,
    EVENT_TYPE "event.type" Keywords,
    FIELDS "fields" Object,
    FILE_DIRECTORY "file.directory" Keyword,
    FILE_EXTENSION "file.extension" Keyword,
    FILE_GID "file.gid" Keyword,
    FILE_GROUP "file.group" Keyword,
    FILE_HASH_MD5 "file.hash.md5" Keyword,
    FILE_HASH_SHA256 "file.hash.sha256" Keyword,
    FILE_INODE "file.inode" Keyword,
    FILE_MODE "file.mode" Keyword,
    FILE_NAME "file.name" Keyword,
    FILE_OWNER "file.owner" Keyword,
    FILE_PATH "file.path" Keyword,
    FILE_SIZE "file.size" Long,
    FILE_TARGET_PATH "file.target_path" Keyword,
    FILE_TYPE "file.type" Keyword,
    FILE_UID "file.uid" Keyword,
    GROUP_ID "group.id" Keyword,
    GROUP_NAME "group.name" Keyword,
    HOST_HOSTNAME "host.hostname" Keyword,
    HOST_ID "host.id" Keyword,
    HOST_IP "host.ip" Ips,
    HOST_MAC "host.mac" Macs,
    HOST_NAME "host.name" Keyword,
    HOST_OS_FAMILY "host.os.family" Keyword,
    HOST_OS_TYPE "host.os.type" Keyword,
    HTTP_REQUEST_BODY_BYTES "http.request.body.bytes" Long,
    HTTP_REQUEST_BYTES "http.request.bytes" Long,
    HTTP_REQUEST_METHOD "http.request.method" Keyword,
    HTTP_REQUEST_REFERRER "http.request.referrer" Keyword,
    HTTP_RESPONSE_BODY_BYTES "http.response.body.bytes" Long,
    HTTP_RESPONSE_BYTES "http.response.bytes" Long,
    HTTP_RESPONSE_STATUS_CODE "http.response.status_code" Long,
    HTTP_VERSION "http.version" Keyword,
    LABELS "labels" Object,
    LOG_FILE_PATH "log.file.path" Keyword,
    LOG_FLAGS "log.flags" Keywords,
    LOG_LEVEL "log.level" Keyword,
    LOG_LOGGER "log.logger" Keyword,
    LOG_OFFSET "log.offset" Long,
    LOG_SYSLOG_APPNAME "log.syslog.appname" Keyword,
    LOG_SYSLOG_FACILITY_CODE "log.syslog.facility.code" Long,
    LOG_SYSLOG_FACILITY_NAME "log.syslog.facility.name" Keyword,
    LOG_SYSLOG_MSGID "log.syslog.msgid" Keyword,
    LOG_SYSLOG_PRIORITY "log.syslog.priority" Long,
    LOG_SYSLOG_PROCID "log.syslog.procid" Keyword,
    LOG_SYSLOG_SEVERITY_CODE "log.syslog.severity.code" Long,
    LOG_SYSLOG_SEVERITY_NAME "log.syslog.severity.name" Keyword,
    LOG_SYSLOG_VERSION "log.syslog.version" Keyword,
    MESSAGE "message" Text,
    NETWORK_APPLICATION "network.application" Keyword,
    NETWORK_BYTES "network.bytes" Long,
    NETWORK_DIRECTION "network.direction" Keyword,
    NETWORK_PACKETS "network.packets" Long,
    NETWORK_PROTOCOL "network.protocol" Keyword,
    NETWORK_TRANSPORT "network.transport" Keyword,
    NETWORK_TYPE "network.type" Keyword,
    OBSERVER_EGRESS_INTERFACE_NAME "observer.egress.interface.name" Keyword,
    OBSERVER_HOSTNAME "observer.hostname" Keyword,
    OBSERVER_INGRESS_INTERFACE_NAME "observer.ingress.interface.name" Keyword,
    OBSERVER_IP "observer.ip" Ip,
    OBSERVER_NAME "observer.name" Keyword,
    OBSERVER_PRODUCT "observer.product" Keyword,
    OBSERVER_TYPE "observer.type" Keyword,
    OBSERVER_VENDOR "observer.vendor" Keyword,
    OBSERVER_VERSION "observer.version" Keyword,
    ORCHESTRATOR_NAMESPACE "orchestrator.namespace" Keyword,
    ORCHESTRATOR_RESOURCE_NAME "orchestrator.resource.name" Keyword,
    ORCHESTRATOR_RESOURCE_TYPE "orchestrator.resource.type" Keyword,
    PAM_SERVICE "pam.service" Keyword,
    PAM_TYPE "pam.type" Keyword,
    POS_AMOUNT "pos.amount" Float,
    POS_CURRENCY "pos.currency" Keyword,
    POS_DRAWER "pos.drawer" Keyword,
    POS_ITEMS "pos.items" Long,
    POS_OPERATOR_ID "pos.operator_id" Keyword,
    POS_STORE_ID "pos.store_id" Keyword,
    POS_TENDER "pos.tender" Keyword,
    POS_TERMINAL_ID "pos.terminal_id" Keyword,
    POS_TRANSACTION_ID "pos.transaction_id" Keyword,
    POS_TRANSACTION_TYPE "pos.transaction_type" Keyword,
    POS_VOID "pos.void" Bool,
    PROCESS_ARGS "process.args" Keywords,
    PROCESS_COMMAND_LINE "process.command_line" Keyword,
    PROCESS_ENTITY_ID "process.entity_id" Keyword,
    PROCESS_EXECUTABLE "process.executable" Keyword,
    PROCESS_EXIT_CODE "process.exit_code" Long,
    PROCESS_HASH_SHA256 "process.hash.sha256" Keyword,
    PROCESS_NAME "process.name" Keyword,
    PROCESS_PARENT_COMMAND_LINE "process.parent.command_line" Keyword,
    PROCESS_PARENT_EXECUTABLE "process.parent.executable" Keyword,
    PROCESS_PARENT_NAME "process.parent.name" Keyword,
    PROCESS_PARENT_PID "process.parent.pid" Long,
    PROCESS_PID "process.pid" Long,
    PROCESS_SESSION_LEADER_NAME "process.session_leader.name" Keyword,
    PROCESS_THREAD_ID "process.thread.id" Long,
    PROCESS_TITLE "process.title" Keyword,
    PROCESS_TTY_NAME "process.tty.name" Keyword,
    PROCESS_USER_NAME "process.user.name" Keyword,
    PROCESS_WORKING_DIRECTORY "process.working_directory" Keyword,
    REGISTRY_PATH "registry.path" Keyword,
    REGISTRY_VALUE "registry.value" Keyword,
    RELATED_HASH "related.hash" Keywords,
    RELATED_HOSTS "related.hosts" Keywords,
    RELATED_IP "related.ip" Ips,
    RELATED_USER "related.user" Keywords,
    RULE_CATEGORY "rule.category" Keyword,
    RULE_ID "rule.id" Keyword,
    RULE_NAME "rule.name" Keyword,
    RULE_RULESET "rule.ruleset" Keyword,
    SERVER_DOMAIN "server.domain" Keyword,
    SERVER_IP "server.ip" Ip,
    SERVICE_NAME "service.name" Keyword,
    SERVICE_VERSION "service.version" Keyword,
    SOURCE_ADDRESS "source.address" Keyword,
    SOURCE_AS_NUMBER "source.as.number" Long,
    SOURCE_AS_ORGANIZATION_NAME "source.as.organization.name" Keyword,
    SOURCE_BYTES "source.bytes" Long,
    SOURCE_DOMAIN "source.domain" Keyword,
    SOURCE_GEO_COUNTRY_ISO_CODE "source.geo.country_iso_code" Keyword,
    SOURCE_IP "source.ip" Ip,
    SOURCE_MAC "source.mac" Keyword,
    SOURCE_NAT_IP "source.nat.ip" Ip,
    SOURCE_NAT_PORT "source.nat.port" Long,
    SOURCE_PACKETS "source.packets" Long,
    SOURCE_PORT "source.port" Long,
    SOURCE_USER_NAME "source.user.name" Keyword,
    SPAN_ID "span.id" Keyword,
    SSHD_INVALID_USER "sshd.invalid_user" Bool,
    SSHD_KEY_FINGERPRINT "sshd.key_fingerprint" Keyword,
    SSHD_KEY_TYPE "sshd.key_type" Keyword,
    SSHD_METHOD "sshd.method" Keyword,
    SYSTEMD_SESSION_ID "systemd.session.id" Keyword,
    TAGS "tags" Keywords,
    TAIL_FULL_LENGTH "tail.full_length" Long,
    TAIL_LOST_BYTES "tail.lost_bytes" Long,
    TAIL_REASON "tail.reason" Keyword,
    TAIL_STREAM "tail.stream" Keyword,
    THREAT_TACTIC_NAME "threat.tactic.name" Keyword,
    THREAT_TECHNIQUE_ID "threat.technique.id" Keyword,
    TLS_CIPHER "tls.cipher" Keyword,
    TLS_VERSION "tls.version" Keyword,
    TRACE_ID "trace.id" Keyword,
    TRANSACTION_ID "transaction.id" Keyword,
    TRIPLINE_CASE "tripline.case" Keyword,
    TRIPLINE_PARSER "tripline.parser" Keyword,
    URL_DOMAIN "url.domain" Keyword,
    URL_FRAGMENT "url.fragment" Keyword,
    URL_FULL "url.full" Keyword,
    URL_ORIGINAL "url.original" Keyword,
    URL_PATH "url.path" Keyword,
    URL_PORT "url.port" Long,
    URL_QUERY "url.query" Keyword,
    URL_SCHEME "url.scheme" Keyword,
    USER_AUDIT_ID "user.audit.id" Keyword,
    USER_AUDIT_NAME "user.audit.name" Keyword,
    USER_CHANGES_NAME "user.changes.name" Keyword,
    USER_DOMAIN "user.domain" Keyword,
    USER_EFFECTIVE_ID "user.effective.id" Keyword,
    USER_EFFECTIVE_NAME "user.effective.name" Keyword,
    USER_EMAIL "user.email" Keyword,
    USER_FILESYSTEM_ID "user.filesystem.id" Keyword,
    USER_FULL_NAME "user.full_name" Keyword,
    USER_GROUP_ID "user.group.id" Keyword,
    USER_GROUP_NAME "user.group.name" Keyword,
    USER_ID "user.id" Keyword,
    USER_NAME "user.name" Keyword,
    USER_ROLES "user.roles" Keywords,
    USER_SAVED_ID "user.saved.id" Keyword,
    USER_TARGET_DOMAIN "user.target.domain" Keyword,
    USER_TARGET_ID "user.target.id" Keyword,
    USER_TARGET_NAME "user.target.name" Keyword,
    USER_AGENT_ORIGINAL "user_agent.original" Keyword,
    WINLOG_CHANNEL "winlog.channel" Keyword,
    WINLOG_LOGON_ID "winlog.logon.id" Keyword,
    WINLOG_LOGON_TYPE "winlog.logon.type" Keyword,
    WINLOG_PROVIDER_NAME "winlog.provider_name" Keyword,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_without_doubles_and_its_constants_fit() {
        assert!(SCHEMA.windows(2).all(|pair| pair[0].name < pair[1].name));
        let table = FieldTable::default();
        assert_eq!(table.name(ecs::SOURCE_IP), "source.ip");
        assert_eq!(table.lookup("user.name"), Some(ecs::USER_NAME));
        assert_eq!(table.schema(ecs::SOURCE_PORT).map(|row| row.kind), Some(FieldType::Long));
    }

    #[test]
    fn interning_is_bounded() {
        let mut table = FieldTable::default();
        for number in 0..FIELDS_MAX + 10 {
            table.intern(&number.to_string());
        }
        assert_eq!(table.len(), FIELDS_MAX);
    }
}

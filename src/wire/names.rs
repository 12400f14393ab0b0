//! Names of well-known interfaces.
//!
//! One table of facts from public documents: what an interface is called, which
//! version it has and what it is for. It helps people read and write, and it says
//! whose services an interface belongs to: by that the configuration reserves them.
//! A name is the interface's own in lower case, as its document or program has it;
//! where only the service is known, the service's, with a number behind it if it has
//! several.
//!
//! Sources: `MS-*`, Microsoft's open specifications; `C706` and `DCE`, the standard
//! and its reference implementation; `HSC`, Marchand, "Windows network services
//! internals"; `Windows`, the annotation that a Windows mapper shows; `CVE-*`, public
//! reports of a flaw; the others are programs that list the interface.

use self::Group::{Dce, Other, Samba, Windows};
use super::syntax::SyntaxId;
use uuid::{Uuid, uuid};

/// A well-known interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its version, major and minor, where there is one to speak of.
    pub version: Option<(u16, u16)>,
    /// Its name, in lower case.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Whose services serve it.
    pub group: Group,
    /// Where these facts are from.
    pub source: &'static str,
}

impl Known {
    /// The interface with its version, where that is known.
    pub fn syntax(&self) -> Option<SyntaxId> {
        let (major, minor) = self.version?;
        Some(SyntaxId::new(self.uuid, major, minor))
    }
}

/// Whose services an interface belongs to; each is of one group, Samba's form of
/// a Windows service of that of Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Windows, and whoever stands in for it.
    Windows,
    /// Samba alone.
    Samba,
    /// DCE: the mapper, remote management, the cell's services and file system.
    Dce,
    /// No system: test programs, tools, other makers' devices.
    Other,
}

impl Group {
    /// The groups that have a name. No interface has the same.
    pub const NAMES: [(&str, Group); 3] = [
        ("windows", Group::Windows),
        ("samba", Group::Samba),
        ("dce", Group::Dce),
    ];

    /// The group of a name.
    pub fn by_name(name: &str) -> Option<Group> {
        let named = Group::NAMES.iter().find(|(known, _)| *known == name);
        named.map(|(_, group)| *group)
    }

    /// Its interfaces, by UUID.
    pub fn interfaces(self) -> impl Iterator<Item = &'static Known> {
        KNOWN.iter().filter(move |known| known.group == self)
    }
}

/// The interface of a UUID.
pub fn by_uuid(uuid: Uuid) -> Option<&'static Known> {
    let place = KNOWN.binary_search_by_key(&uuid, |known| known.uuid);
    KNOWN.get(place.ok()?)
}

/// The interface of a name, in upper or lower case.
pub fn by_name(name: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name))
}

/// Every well-known interface, by UUID.
pub fn all() -> &'static [Known] {
    KNOWN
}

/// One row of the table.
const fn known(
    uuid: Uuid,
    version: Option<(u16, u16)>,
    name: &'static str,
    about: &'static str,
    group: Group,
    source: &'static str,
) -> Known {
    Known {
        uuid,
        version,
        name,
        about,
        group,
        source,
    }
}

/// The table, sorted by UUID.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    known(uuid!("00000000-0000-0000-c000-000000000046"), Some((0, 0)), "iunknown", "COM base interface", Windows, "MS-DCOM"),
    known(uuid!("00000002-0001-0000-c000-000000000069"), Some((1, 0)), "kdcsvc", "Kerberos key distribution", Windows, "impacket"),
    known(uuid!("00000131-0000-0000-c000-000000000046"), Some((0, 0)), "iremunknown", "DCOM object references", Windows, "MS-DCOM"),
    known(uuid!("00000134-0000-0000-c000-000000000046"), Some((0, 0)), "irundown", "DCOM object rundown", Windows, "MS-DCOM"),
    known(uuid!("00000136-0000-0000-c000-000000000046"), Some((0, 0)), "iscmactivator", "DCOM activation, local", Windows, "HSC"),
    known(uuid!("00000143-0000-0000-c000-000000000046"), Some((0, 0)), "iremunknown2", "DCOM object references, second form", Windows, "MS-DCOM"),
    known(uuid!("000001a0-0000-0000-c000-000000000046"), Some((0, 0)), "iremotescmactivator", "DCOM activation", Windows, "MS-DCOM"),
    known(uuid!("00020400-0000-0000-c000-000000000046"), Some((0, 0)), "idispatch", "OLE automation", Windows, "MS-OAUT"),
    known(uuid!("019ee420-682d-11c9-a607-08002b0dea7a"), Some((1, 0)), "dtsstime_req", "DCE time requests", Dce, "Wireshark"),
    known(uuid!("027947e1-d731-11ce-a357-000000000001"), Some((0, 0)), "ienumwbemclassobject", "WMI enumeration", Windows, "MS-WMI"),
    known(uuid!("0497b57d-2e66-424f-a0c6-157cd5d41700"), Some((1, 0)), "appinfo2", "application information, another", Windows, "Windows"),
    known(uuid!("06bba54a-be05-49f9-b0a0-30f790261023"), Some((1, 0)), "wscsvc", "security center", Windows, "Windows"),
    known(uuid!("0767a036-0d22-48aa-ba69-b619480f38cb"), Some((1, 0)), "pcasvc", "program compatibility", Windows, "Windows"),
    known(uuid!("0a74ef1c-41a4-4e06-83ae-dc74fb1cdd53"), Some((1, 0)), "idletask", "task scheduler, idle tasks", Windows, "Suricata"),
    known(uuid!("0b0a6584-9e0f-11cf-a3cf-00805f68cb1b"), Some((1, 1)), "localepmp", "registration with the endpoint mapper, local", Windows, "HSC"),
    known(uuid!("0b1c2170-5732-4e0e-8cd3-d9b16f3b84d7"), Some((0, 0)), "authzr", "remote authorization", Windows, "MS-RAA"),
    known(uuid!("0b6edbfa-4a24-4fc6-8a23-942b1eca65d1"), Some((1, 0)), "irpcasyncnotify", "print notifications", Windows, "MS-PAN"),
    known(uuid!("0d3c7f20-1c8d-4654-a1b3-51563b298bda"), Some((1, 0)), "usermgrcli", "user manager", Windows, "Windows"),
    known(uuid!("0d72a7d4-6148-11d1-b4aa-00c04fb66ea0"), Some((1, 0)), "icertprotect", "cryptographic services, certificates", Windows, "nmap"),
    known(uuid!("0d7c1e50-113a-11ca-b71f-08001e01dc6c"), Some((1, 0)), "secidmap", "DCE security identity mapping", Dce, "Wireshark"),
    known(uuid!("0eff23e6-555a-11cd-95bf-0800092784c3"), Some((1, 0)), "rs_prop_attr", "DCE registry propagation, attributes", Dce, "Wireshark"),
    known(uuid!("1088a980-eae5-11d0-8d9b-00a02453c337"), Some((1, 0)), "qm2qm", "message queues, between managers", Windows, "MS-MQQP"),
    known(uuid!("11899a43-2b68-4a76-92e3-a3d6ad8c26ce"), Some((1, 0)), "termsrvnotification", "terminal services, notification", Windows, "MS-TSTS"),
    known(uuid!("12345678-1234-abcd-ef00-0123456789ab"), Some((1, 0)), "spoolss", "print spooler", Windows, "MS-RPRN"),
    known(uuid!("12345678-1234-abcd-ef00-01234567cffb"), Some((1, 0)), "netlogon", "domain logon", Windows, "MS-NRPC"),
    known(uuid!("12345778-1234-abcd-ef00-0123456789ab"), Some((0, 0)), "lsarpc", "Local Security Authority", Windows, "MS-LSAD"),
    known(uuid!("12345778-1234-abcd-ef00-0123456789ac"), Some((1, 0)), "samr", "Security Account Manager", Windows, "MS-SAMR"),
    known(uuid!("1257b580-ce2f-4109-82d6-a9459d0bf6bc"), Some((1, 0)), "sessenvpublicrpc", "terminal services, session environment", Windows, "MS-TSTS"),
    known(uuid!("12b81e99-f207-4a4c-85d3-77b42f76fd14"), Some((1, 0)), "iseclogon", "secondary logon", Windows, "nmap"),
    known(uuid!("12e65dd8-887f-41ef-91bf-8d816c42c2e7"), Some((1, 0)), "securedesktop", "secure desktop", Windows, "Windows"),
    known(uuid!("130ceefb-e466-11d1-b78b-00c04fa32883"), Some((2, 0)), "ismip", "intersite messaging over IP", Windows, "impacket"),
    known(uuid!("1544f5e0-613c-11d1-93df-00c04fd7bd09"), Some((1, 0)), "rfri", "address book referral", Windows, "MS-OXABREF"),
    known(uuid!("15cd3850-28ca-11ce-a4e8-00aa006116cb"), Some((1, 0)), "peerdistsvc", "BranchCache", Windows, "impacket"),
    known(uuid!("16e0cf3a-a604-11d0-96b1-00a0c91ece30"), None, "ad_restore", "Active Directory restore", Windows, "Samba"),
    known(uuid!("17fc11e9-c258-4b8d-8d07-2f4125156244"), Some((1, 0)), "mimikatz", "remote control of mimikatz", Other, "impacket"),
    known(uuid!("17fdd703-1827-4e34-79d4-24a55c53bb37"), Some((1, 0)), "msgsvc", "messenger names", Windows, "MS-MSRP"),
    known(uuid!("1a0d010f-1c33-432c-b0f5-8cf4e8053099"), Some((1, 0)), "idsegsrv", "IdSegSrv service", Windows, "Windows"),
    known(uuid!("1a9134dd-7b39-45ba-ad88-44d01ca47f28"), Some((1, 0)), "remoteread", "message queues, remote read", Windows, "MS-MQRR"),
    known(uuid!("1a927394-352e-4553-ae3f-7cf4aafca620"), Some((1, 0)), "wdsrpcinterface", "Windows Deployment Services", Windows, "MS-WDSC"),
    known(uuid!("1bddb2a6-c0c3-41be-8703-ddbdf4f0e80a"), Some((1, 0)), "dot3svc", "wired authentication", Windows, "impacket"),
    known(uuid!("1c1c45ee-4395-11d2-b60b-00104b703efd"), Some((0, 0)), "iwbemfetchsmartenum", "WMI enumeration, start of the compact form", Windows, "MS-WMI"),
    known(uuid!("1d193c08-000b-11ca-ba1d-02608c2ea96e"), Some((4, 0)), "butc", "DFS backup tapes", Dce, "Wireshark"),
    known(uuid!("1d55b526-c137-46c5-ab79-638f2a68e869"), Some((1, 0)), "dbgidl", "RPC debugging", Windows, "HSC"),
    known(uuid!("1ff70682-0a51-30e8-076d-740be8cee98b"), Some((1, 0)), "atsvc", "task scheduler, at jobs", Windows, "MS-TSCH"),
    known(uuid!("1fff8faa-ec23-4e3f-a8ce-4b2f8707e636"), Some((1, 0)), "teredoconsumer", "Teredo, consumer", Windows, "impacket"),
    known(uuid!("201ef99a-7fa0-444c-9399-19ba84f12a1a"), Some((1, 0)), "appinfo", "application information", Windows, "Windows"),
    known(uuid!("20610036-fa22-11cf-9823-00a0c911e5df"), Some((1, 0)), "rasrpc", "remote access", Windows, "MS-RRASM"),
    known(uuid!("22e5386d-8b12-4bf0-b0ec-6a1ea419e366"), Some((1, 0)), "neteventforwarder", "live capture of events", Windows, "MS-LREC"),
    known(uuid!("257df1c9-c6d3-11ca-8554-08002b1c8f1f"), Some((1, 0)), "cds_clerkserver", "DCE cell directory, clerk", Dce, "Wireshark"),
    known(uuid!("25952c5d-7976-4aa1-a3cb-c35f7ae79d1b"), None, "wlansvc", "wireless networks", Windows, "impacket"),
    known(uuid!("2acb9d68-b434-4b3e-b966-e06b4b3a84cb"), Some((1, 0)), "bthserv", "Bluetooth support", Windows, "impacket"),
    known(uuid!("2c9273e0-1dc3-11d3-b364-00105a1f8177"), Some((0, 0)), "iwbemrefreshingservices", "WMI refreshing", Windows, "MS-WMI"),
    known(uuid!("2c9a33d5-f1db-472d-8464-42b8b0c76c38"), Some((1, 0)), "tbssvc", "TPM base services", Windows, "impacket"),
    known(uuid!("2e6035b2-e8f1-41a7-a044-656b439c4c34"), Some((1, 0)), "proxymgrprovider", "proxy manager, provider", Windows, "Windows"),
    known(uuid!("2eb08e3e-639f-4fba-97b1-14f878961076"), Some((1, 0)), "gpsvc", "group policy client", Windows, "impacket"),
    known(uuid!("2f5f3220-c126-1076-b549-074d078619da"), Some((1, 2)), "nddeapi", "network DDE", Windows, "nmap"),
    known(uuid!("2f5f6520-ca46-1067-b319-00dd010662da"), Some((1, 0)), "tapsrv", "telephony", Windows, "MS-TRP"),
    known(uuid!("2f5f6521-ca47-1068-b319-00dd010662db"), Some((1, 0)), "remotesp", "telephony, events to a client", Windows, "MS-TRP"),
    known(uuid!("2fb92682-6599-42dc-ae13-bd2ca89bd11c"), Some((1, 0)), "fwapi", "firewall, local", Windows, "Windows"),
    known(uuid!("300f3532-38cc-11d0-a3f0-0020af6b0add"), Some((1, 2)), "trkwks", "link tracking, workstation", Windows, "MS-DLTW"),
    known(uuid!("30adc50c-5cbc-46ce-9a0e-91914789e23c"), Some((1, 0)), "nrp", "name resolution proxy", Windows, "Windows"),
    known(uuid!("30b044a5-a225-43f0-b3a4-e060df91f9c1"), Some((1, 0)), "certprop", "smart card certificates", Windows, "impacket"),
    known(uuid!("3139a0e2-68da-11cd-91c7-080009242444"), Some((1, 0)), "rs_pwd_mgmt", "DCE registry, passwords", Dce, "Wireshark"),
    known(uuid!("333a2276-0000-0000-0d00-00809c000000"), Some((3, 0)), "conv", "conversation manager", Dce, "C706 App. P"),
    known(uuid!("338cd001-2244-31f1-aaaa-900038001003"), Some((1, 0)), "winreg", "remote registry", Windows, "MS-RRP"),
    known(uuid!("342cfd40-3c6c-11ce-a893-08002b2e9c6d"), Some((0, 0)), "llsrpc", "licence logging", Windows, "nmap"),
    known(uuid!("3473dd4d-2e88-4006-9cba-22570909dd10"), Some((5, 1)), "winhttpautoproxy", "WinHTTP proxy discovery", Windows, "Windows"),
    known(uuid!("367abb81-9844-35f1-ad32-98f038001003"), Some((2, 0)), "svcctl", "service control manager", Windows, "MS-SCMR"),
    known(uuid!("369ce4f0-0fdc-11d3-bde8-00c04f8eee78"), Some((1, 0)), "pmapapi", "profile mapper", Windows, "nmap"),
    known(uuid!("378e52b0-c0a9-11cf-822d-00aa0051e40f"), Some((1, 0)), "sasec", "task scheduler, accounts", Windows, "MS-TSCH"),
    known(uuid!("3919286a-b10c-11d0-9ba8-00c04fd92ef5"), Some((0, 0)), "dssetup", "Active Directory role of a machine", Windows, "MS-DSSP"),
    known(uuid!("3c4728c5-f0ab-448b-bda1-6ce01eb0a6d5"), Some((1, 0)), "dhcpcsvc", "DHCP client", Windows, "Windows"),
    known(uuid!("3c4728c5-f0ab-448b-bda1-6ce01eb0a6d6"), Some((1, 0)), "dhcpcsvc6", "DHCP client for IPv6", Windows, "Windows"),
    known(uuid!("3d267954-eeb7-11d1-b94e-00c04fa3080d"), Some((1, 0)), "hydralspipe", "terminal services licensing", Windows, "Suricata"),
    known(uuid!("3dde7c30-165d-11d1-ab8f-00805f14db40"), Some((1, 0)), "backupkey", "backup keys for secrets", Windows, "MS-BKRP"),
    known(uuid!("3faf4738-3a21-4307-b46c-fdda9bb8c0d5"), None, "audiosrv", "audio service", Windows, "nmap"),
    known(uuid!("41208ee0-e970-11d1-9b9e-00e02c064c39"), Some((1, 0)), "qmmgmt", "message queues, management", Windows, "MS-MQMR"),
    known(uuid!("412f241e-c12a-11ce-abff-0020af6e7a17"), Some((0, 2)), "iscm", "COM service control manager, local", Windows, "HSC"),
    known(uuid!("423ec01e-2e35-11d2-b604-00104b703efd"), Some((0, 0)), "iwbemwcosmartenum", "WMI enumeration, compact form", Windows, "MS-WMI"),
    known(uuid!("44aca674-e8fc-11d0-a07c-00c04fb68820"), Some((0, 0)), "iwbemcontext", "WMI context", Windows, "MS-WMI"),
    known(uuid!("44aca675-e8fc-11d0-a07c-00c04fb68820"), Some((0, 0)), "iwbemcallresult", "WMI call result", Windows, "MS-WMI"),
    known(uuid!("44e265dd-7daf-42cd-8560-3cdb6e7a2729"), Some((1, 3)), "tsproxyrpcinterface", "terminal services gateway", Windows, "MS-TSGU"),
    known(uuid!("45776b01-5956-4485-9f80-f428f7d60129"), Some((2, 0)), "dnsrslvr", "DNS client", Windows, "impacket"),
    known(uuid!("45f52c28-7f9f-101a-b52b-08002b2efabe"), Some((1, 0)), "winsif", "WINS", Windows, "MS-RAIW"),
    known(uuid!("484809d6-4239-471b-b5bc-61df8c23ac48"), Some((1, 0)), "termsrvsession", "terminal services, sessions", Windows, "MS-TSTS"),
    known(uuid!("4885772c-c6d3-11ca-84c6-08002b1c8f1f"), Some((1, 0)), "cprpc_server", "DCE cell directory, control", Dce, "Wireshark"),
    known(uuid!("497d95a6-2d27-4bf5-9bbd-a6046957133c"), Some((1, 0)), "rcmlistener", "terminal services, listeners", Windows, "MS-TSTS"),
    known(uuid!("4a967f14-3000-0000-0d00-012882000000"), Some((1, 0)), "convc", "liveness of a client's contexts", Dce, "DCE"),
    known(uuid!("4b112204-0e19-11d3-b42b-0000f81feb9f"), Some((1, 0)), "ssdpsrv", "SSDP discovery", Windows, "nmap"),
    known(uuid!("4b324fc8-1670-01d3-1278-5a47bf6ee188"), Some((3, 0)), "srvsvc", "file server: shares and sessions", Windows, "MS-SRVS"),
    known(uuid!("4be96a0f-9f52-4729-a51d-c70610f118b0"), Some((1, 0)), "wbiosrvc", "biometrics", Windows, "impacket"),
    known(uuid!("4c878280-2000-0000-0d00-028714000000"), Some((1, 0)), "rs_acct", "DCE registry, accounts", Dce, "Wireshark"),
    known(uuid!("4c878280-3000-0000-0d00-028714000000"), Some((1, 0)), "rs_pgo", "DCE registry, names", Dce, "Wireshark"),
    known(uuid!("4c878280-4000-0000-0d00-028714000000"), Some((1, 0)), "rs_plcy", "DCE registry, policies", Dce, "Wireshark"),
    known(uuid!("4c878280-5000-0000-0d00-028714000000"), Some((1, 0)), "rs_misc", "DCE registry, login", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed43-0000-02c0-37cf1e000001"), Some((0, 0)), "bossvr", "DFS overseer", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed43-0000-02c0-37cf2e000001"), Some((4, 0)), "fldb", "DFS fileset locations", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed43-0002-02c0-37cf1e000000"), Some((4, 0)), "ubikdisk", "Ubik, data", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed43-0003-02c0-37cf1e000000"), Some((4, 0)), "ubikvote", "Ubik, votes", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed43-0004-02c0-37cf1e000000"), Some((4, 0)), "ftserver", "DFS fileset server", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed43-0005-02c0-37cf1e000000"), Some((4, 0)), "rep_proc", "DFS replication", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed93-0000-02c0-37cf1e000000"), Some((4, 0)), "fileexp", "DFS file exporter", Dce, "Wireshark"),
    known(uuid!("4d37f2dd-ed96-0000-02c0-37cf1e000000"), Some((4, 0)), "tkn4int", "DFS tokens", Dce, "Wireshark"),
    known(uuid!("4d9f4ab8-7d1c-11cf-861e-0020af6e7c57"), Some((0, 0)), "iactivation", "DCOM activation, first form", Windows, "MS-DCOM"),
    known(uuid!("4da1c422-943d-11d1-acae-00c04fc2aa3f"), Some((1, 0)), "trksvr", "link tracking, server", Windows, "MS-DLTM"),
    known(uuid!("4f82f460-0e21-11cf-909e-00805f48a135"), Some((4, 0)), "nntpsvc", "NNTP server of IIS", Windows, "impacket"),
    known(uuid!("4fc742e0-4a10-11cf-8273-00aa004ae673"), Some((3, 0)), "netdfs", "distributed file system namespaces", Windows, "MS-DFSNM"),
    known(uuid!("50abc2a4-574d-40b3-9d66-ee4fd5fba076"), Some((5, 0)), "dnsserver", "DNS server", Windows, "MS-DNSP"),
    known(uuid!("51a227ae-825b-41f2-b4a9-1ac9557a1018"), Some((1, 0)), "ngcpopkey", "Ngc Pop Key service", Windows, "Windows"),
    known(uuid!("51c82175-844e-4750-b0d8-ec255555bc06"), Some((1, 0)), "kms", "key management service", Windows, "Suricata"),
    known(uuid!("5222821f-d5e2-4885-84f1-5f6185a0ec41"), Some((1, 0)), "ncbreset", "network connection broker, reset", Windows, "Windows"),
    known(uuid!("5261574a-4572-206e-b268-6b199213b4e4"), Some((0, 1)), "asyncemsmdb", "Exchange mailbox store, asynchronous", Windows, "MS-OXCRPC"),
    known(uuid!("53b46b02-c73b-4a3e-8dee-b16b80672fc0"), Some((1, 0)), "tsvippublic", "terminal services, virtual addresses", Windows, "MS-TSTS"),
    known(uuid!("541679ab-2e5f-11d3-b34e-00104bcc4b4a"), Some((0, 0)), "iwbemloginhelper", "WMI login help", Windows, "MS-WMI"),
    known(uuid!("552d076a-cb29-4e44-8b6a-d15e59e2c0af"), Some((1, 0)), "iptransition", "IP transition configuration", Windows, "Windows"),
    known(uuid!("57674cd0-5200-11ce-a897-08002b2e9c6d"), Some((1, 0)), "lls_license", "licence logging, licences", Windows, "Suricata"),
    known(uuid!("58e604e8-9adb-4d2e-a464-3b0683fb1480"), Some((1, 0)), "appinfo3", "application information, another", Windows, "Windows"),
    known(uuid!("5a7b91f8-ff00-11d0-a9b2-00c04fb6e6fc"), Some((1, 0)), "msgsvcsend", "messenger messages", Windows, "MS-MSRP"),
    known(uuid!("5b821720-f63b-11d0-aad2-00c04fc324db"), Some((1, 0)), "dhcpsrv2", "DHCP server, second part", Windows, "MS-DHCPM"),
    known(uuid!("5b8c2fa8-b60b-11c9-be0f-08001e018fa0"), Some((1, 0)), "rs_repadm", "DCE registry replicas, administration", Dce, "Wireshark"),
    known(uuid!("5ca4a760-ebb1-11cf-8611-00a0245420ed"), Some((1, 0)), "icaapi", "terminal services, first form", Windows, "MS-TSTS"),
    known(uuid!("5d978990-4851-11ca-9937-08001e039448"), Some((1, 0)), "roverride", "DCE registry override", Dce, "Wireshark"),
    known(uuid!("5f54ce7d-5b79-4175-8584-cb65313a0e98"), Some((1, 0)), "appinfo4", "application information, another", Windows, "Windows"),
    known(uuid!("6099fc12-3eff-11d0-abd0-00c04fd91a4e"), Some((3, 0)), "faxclient", "fax client", Windows, "MS-FAX"),
    known(uuid!("60a15ec5-4de8-11d7-a637-005056a20182"), Some((1, 0)), "rpcecho", "echo, for tests", Other, "Samba"),
    known(uuid!("621dff68-3c39-4c6c-aae3-e68e2c6503ad"), Some((1, 0)), "wzcsvc", "wireless configuration", Windows, "Wireshark"),
    known(uuid!("629b9f66-556c-11d1-8dd2-00aa004abd5e"), None, "sensnotify", "system event notification", Windows, "impacket"),
    known(uuid!("63fbe424-2029-11d1-8db8-00aa004abd5e"), Some((1, 0)), "sensapi", "system event notification, state", Windows, "impacket"),
    known(uuid!("647d4452-9f33-4a18-b2be-c5c0e920e94e"), Some((1, 0)), "pla", "performance logs", Windows, "impacket"),
    known(uuid!("64fe0b7f-9ef5-4553-a7db-9a1975777554"), Some((1, 0)), "fwidl", "RPC filtering", Windows, "HSC"),
    known(uuid!("650a7e26-eab8-5533-ce43-9c1dfce11511"), Some((1, 0)), "vpn", "VPN", Windows, "Windows"),
    known(uuid!("68097130-de43-11ca-a554-08001e0394c7"), Some((1, 0)), "rs_prop_acct", "DCE registry propagation, accounts", Dce, "Wireshark"),
    known(uuid!("68b58241-c259-4f03-a2e5-a2651dcbc930"), Some((1, 0)), "ikeysvc2", "cryptographic services, second part", Windows, "Suricata"),
    known(uuid!("68dcd486-669e-11d1-ab0c-00c04fc2dcd2"), None, "ismserv", "intersite messaging", Windows, "impacket"),
    known(uuid!("69510fa1-2f99-4eeb-a4ff-af259f0f9749"), Some((1, 0)), "wecsvc", "event collector", Windows, "impacket"),
    known(uuid!("6a5f1c1e-7d0b-4c55-9a63-65706d617001"), Some((1, 0)), "epmapper_control", "epmapper, lives and status of registrations, local", Other, "docs/control.md"),
    known(uuid!("6b5bdd1e-528c-422c-af8c-a4079be4fe48"), Some((1, 0)), "remotefw", "firewall", Windows, "MS-FASP"),
    known(uuid!("6bffd098-a112-3610-9833-012892020162"), Some((0, 0)), "browser", "computer browser", Windows, "MS-BRWSA"),
    known(uuid!("6bffd098-a112-3610-9833-46c3f874532d"), Some((1, 0)), "dhcpsrv", "DHCP server", Windows, "MS-DHCPM"),
    known(uuid!("6bffd098-a112-3610-9833-46c3f87e345a"), Some((1, 0)), "wkssvc", "workstation: domain membership", Windows, "MS-WKST"),
    known(uuid!("708cca10-9569-11d1-b2a5-0060977d8118"), Some((1, 0)), "dscomm2", "message queues, directory, second part", Windows, "MS-MQDS"),
    known(uuid!("714dc5c4-c5f6-466a-b037-a573c958031e"), Some((1, 0)), "processtag", "process tags", Windows, "Windows"),
    known(uuid!("76d12b80-3467-11d3-91ff-0090272f9ea3"), Some((1, 0)), "qmcomm2", "message queues, second part", Windows, "MS-MQMP"),
    known(uuid!("76f03f96-cdfd-44fc-a22c-64950a001209"), Some((1, 0)), "iremotewinspool", "print spooler, asynchronous", Windows, "MS-PAR"),
    known(uuid!("76f226c3-ec14-4325-8a99-6a46348418af"), Some((1, 0)), "winlogon", "Windows logon", Windows, "impacket"),
    known(uuid!("77df7a80-f298-11d0-8358-00a024c480a8"), Some((1, 0)), "dscomm", "message queues, directory", Windows, "MS-MQDS"),
    known(uuid!("7c44d7d4-31d5-424c-bd5e-2b3e1f323d22"), Some((1, 0)), "dsaop", "Active Directory server operations", Windows, "MS-DRSR"),
    known(uuid!("7c857801-7381-11cf-884d-00aa004b2e24"), Some((0, 0)), "iwbemobjectsink", "WMI object sink", Windows, "MS-WMI"),
    known(uuid!("7ea70bcf-48af-4f6a-8968-6a440754d5fa"), Some((1, 0)), "nsi", "network store interface", Windows, "Windows"),
    known(uuid!("7f1343fe-50a9-4927-a778-0c5859517bac"), Some((1, 0)), "dfsds", "DfsDs service", Windows, "Windows"),
    known(uuid!("7f9d11bf-7fb9-436b-a812-b2d50c5d4c03"), Some((1, 0)), "fwapi2", "firewall, local, another", Windows, "Windows"),
    known(uuid!("811109bf-a4e1-11d1-ab54-00a0c91e9b45"), Some((1, 0)), "winsi2", "WINS, second part", Windows, "MS-RAIW"),
    known(uuid!("82273fdc-e32a-18c3-3f78-827929dc23ea"), Some((0, 0)), "eventlog", "event log", Windows, "MS-EVEN"),
    known(uuid!("82ad4280-036b-11cf-972c-00aa006887b0"), Some((2, 0)), "inetinfo", "Internet Information Services", Windows, "MS-IRP"),
    known(uuid!("83da4c30-ea3a-11cf-9cc1-08003601e506"), Some((1, 0)), "nfsclnt", "NFS client", Windows, "impacket"),
    known(uuid!("83da7c00-e84f-11d2-9807-00c04f8ec850"), Some((2, 0)), "sfcapi", "file protection", Windows, "nmap"),
    known(uuid!("850446b0-e95b-11ca-ad90-08001e0145b1"), Some((2, 0)), "rs_replist", "DCE registry replicas, list", Dce, "Wireshark"),
    known(uuid!("86d35949-83c9-4044-b424-db363231fd0c"), Some((1, 0)), "itaskschedulerservice", "task scheduler", Windows, "MS-TSCH"),
    known(uuid!("880fd55e-43b9-11e0-b1a8-cf4edfd72085"), Some((1, 0)), "kapi", "KAPI service", Windows, "Windows"),
    known(uuid!("88143fd0-c28d-4b2b-8fef-8d882f6a9390"), Some((1, 0)), "termsrvenumeration", "terminal services, enumeration", Windows, "MS-TSTS"),
    known(uuid!("885d85fb-c754-4062-a0e7-6872ce0064f4"), Some((2, 0)), "mdssvc", "Spotlight search", Samba, "Samba"),
    known(uuid!("894de0c0-0d55-11d3-a322-00c04fa321a1"), Some((1, 0)), "initshutdown", "remote shutdown", Windows, "MS-RSP"),
    known(uuid!("897e2e5f-93f3-4376-9c9c-fd2277495c27"), Some((1, 0)), "frstransport", "DFS replication", Windows, "MS-FRS2"),
    known(uuid!("8a7b5006-cc13-11db-9705-005056c00008"), Some((1, 0)), "appidsvc", "application identity", Windows, "impacket"),
    known(uuid!("8c7a6de0-788d-11d0-9edf-444553540000"), Some((2, 0)), "wiaservc", "image acquisition", Windows, "impacket"),
    known(uuid!("8c7daf44-b6dc-11d1-9a4c-0020af6e7c57"), Some((1, 0)), "appmgmts", "application management", Windows, "impacket"),
    known(uuid!("8cfb5d70-31a4-11cf-a7d8-00805f48a135"), Some((3, 0)), "smtpsvc", "SMTP server of IIS", Windows, "impacket"),
    known(uuid!("8d0ffe72-d252-11d0-bf8f-00c04fd9126b"), Some((1, 0)), "ikeysvc", "cryptographic services", Windows, "nmap"),
    known(uuid!("8d9f4e40-a03d-11ce-8f69-08003e30051b"), Some((1, 0)), "pnp", "plug and play", Windows, "Samba"),
    known(uuid!("8f09f000-b7ed-11ce-bbd2-00001a181cad"), Some((0, 0)), "dimsvc", "routing and remote access", Windows, "MS-RRASM"),
    known(uuid!("8f73de50-768c-11ca-bffc-08001e039431"), Some((1, 0)), "krb5rpc", "Kerberos over RPC", Dce, "Wireshark"),
    known(uuid!("8fb6d884-2388-11d0-8c35-00c04fda2795"), Some((4, 1)), "w32time", "time service", Windows, "MS-W32T"),
    known(uuid!("8fb74744-b2ff-4c00-be0d-9ef9a191fe1b"), Some((1, 0)), "ngcpopkey2", "Ngc Pop Key service, another", Windows, "Windows"),
    known(uuid!("906b0ce0-c70b-1067-b317-00dd010662da"), Some((1, 0)), "ixnremote", "transaction coordinator", Windows, "MS-CMPO"),
    known(uuid!("91ae6020-9e3c-11cf-8d7c-00aa00c091be"), Some((0, 0)), "icertpassage", "certificate enrolment", Windows, "MS-ICPR"),
    known(uuid!("93149ca2-973b-11d1-8c39-00c04fb984f9"), Some((0, 0)), "scesvc", "security configuration", Windows, "nmap"),
    known(uuid!("9435cc56-1d9c-4924-ac7d-b60a2c3520e1"), Some((1, 0)), "sppsvc", "software protection", Windows, "Windows"),
    known(uuid!("9556dc99-828c-11cf-a37e-00aa003240c7"), Some((0, 0)), "iwbemservices", "WMI services", Windows, "MS-WMI"),
    known(uuid!("98716d03-89ac-44c7-bb8c-285824e51c4a"), Some((1, 0)), "xactsrv", "XactSrv service", Windows, "Windows"),
    known(uuid!("99fcfec4-5260-101b-bbcb-00aa0021347a"), Some((0, 0)), "iobjectexporter", "DCOM object resolver", Windows, "MS-DCOM"),
    known(uuid!("9c54e310-a955-4885-bd31-78787147dfa6"), Some((0, 0)), "unixinfo", "UNIX user and group numbers", Samba, "Samba"),
    known(uuid!("a002b3a0-c9b7-11d1-ae88-0080c75e4ec1"), Some((1, 0)), "getusertoken", "logon token of a user", Windows, "nmap"),
    known(uuid!("a398e520-d59a-4bdd-aa7a-3c1e0303a511"), Some((1, 0)), "ikeext", "IKE and AuthIP", Windows, "Windows"),
    known(uuid!("a4b8d482-80ce-40d6-934d-b22a01a44fe7"), Some((1, 0)), "licensemanager", "licence manager", Windows, "Windows"),
    known(uuid!("a4f1db00-ca47-1067-b31f-00dd010662da"), Some((0, 81)), "emsmdb", "Exchange mailbox store", Windows, "MS-OXCRPC"),
    known(uuid!("a71fc1e8-567f-11cb-98a0-08001e04de8c"), Some((0, 0)), "rs_attr", "DCE registry, attributes", Dce, "Wireshark"),
    known(uuid!("a8e0653c-2744-4389-a61d-7373df8b2292"), Some((1, 0)), "fileservervssagent", "shadow copies of shares", Windows, "MS-FSRVP"),
    known(uuid!("ae33069b-a2a8-46ee-a235-ddfd339be281"), Some((1, 0)), "irpcremoteobject", "print notifications, remote objects", Windows, "MS-PAN"),
    known(uuid!("ae55c4c0-64ce-11dd-ad8b-0800200c9a66"), Some((1, 0)), "bdesvc", "drive encryption", Windows, "impacket"),
    known(uuid!("afa8bd80-7d8a-11c9-bef4-08002b102989"), Some((1, 0)), "mgmt", "remote management", Dce, "C706 App. Q"),
    known(uuid!("afc07e2e-311c-4435-808c-c483ffeec7c9"), Some((1, 0)), "lsacap", "central access policies", Windows, "MS-CAPR"),
    known(uuid!("b18fbab6-56f8-4702-84e0-41053293a869"), Some((1, 0)), "usermgrcli2", "user manager, another", Windows, "Windows"),
    known(uuid!("b1e338f8-9533-11c9-a34a-08001e019c1e"), Some((1, 0)), "rpriv", "DCE privilege server", Dce, "Wireshark"),
    known(uuid!("b25a52bf-e5dd-4f4a-aea6-8ca7272a0e86"), Some((2, 0)), "keyiso", "key isolation", Windows, "Windows"),
    known(uuid!("b47c9460-567f-11cb-8c09-08001e04de8c"), Some((0, 0)), "rs_attr_schema", "DCE registry, attribute schema", Dce, "Wireshark"),
    known(uuid!("b58aa02e-2884-4e97-8176-4ee06d794184"), Some((1, 0)), "sysmain", "memory management", Windows, "impacket"),
    known(uuid!("b9785960-524f-11df-8b6d-83dcded72085"), Some((1, 0)), "isdkey", "group keys", Windows, "MS-GKDI"),
    known(uuid!("b97db8b2-4c63-11cf-bff6-08002be23f2f"), Some((3, 0)), "clusapi", "failover cluster", Windows, "MS-CMRP"),
    known(uuid!("b9e79e60-3d52-11ce-aaa1-00006901293f"), Some((0, 2)), "irot", "COM running object table, local", Windows, "Samba"),
    known(uuid!("bb8b98e8-84dd-45e7-9f34-c3fb6155eeed"), Some((1, 0)), "vaultsvc", "credential vault", Windows, "impacket"),
    known(uuid!("bde95fdf-eee0-45de-9e12-e5a61cd0d4fe"), Some((1, 0)), "rcmpublic", "terminal services, connections", Windows, "MS-TSTS"),
    known(uuid!("be7f785e-0e3a-4ab7-91de-7e46e443be29"), Some((0, 0)), "storsvc", "storage service", Windows, "CVE-2019-0569"),
    known(uuid!("bf09192c-ed60-4928-9dff-d0d7bcb03ed8"), Some((1, 0)), "winbind", "winbind, between its parts", Samba, "Samba"),
    known(uuid!("bfca1238-628a-11c9-a073-08002b0dea7a"), Some((1, 0)), "dtsprovider", "DCE time provider", Dce, "Wireshark"),
    known(uuid!("c100beab-d33a-4a4b-bf23-bbef4663d017"), Some((1, 0)), "wcncsvc", "Windows Connect Now", Windows, "impacket"),
    known(uuid!("c23626e8-de34-11ca-8cbc-08001e0394c7"), Some((1, 0)), "rs_prop_pgo", "DCE registry propagation, names", Dce, "Wireshark"),
    known(uuid!("c36be077-e14b-4fe9-8abc-e856ef4f048b"), Some((1, 0)), "proxymgrclient", "proxy manager, client", Windows, "Windows"),
    known(uuid!("c386ca3e-9061-4a72-821e-498d83be188f"), None, "audiorpc", "audio service, newer form", Windows, "Suricata"),
    known(uuid!("c49a5a70-8a7f-4e70-ba16-1e8f1f193ef1"), Some((1, 0)), "adh", "Adh APIs", Windows, "Windows"),
    known(uuid!("c681d488-d850-11d0-8c52-00c04fd90f7e"), Some((1, 0)), "efs", "encrypting file system, at the lsarpc pipe", Windows, "MS-EFSR"),
    known(uuid!("c6b5235a-e413-481d-9ac8-31681b1faaf5"), None, "scardsvr", "smart cards", Windows, "impacket"),
    known(uuid!("c6f3ee72-ce7e-11d1-b71e-00c04fc3111a"), Some((1, 0)), "imachineactivatorcontrol", "DCOM activation, control", Windows, "HSC"),
    known(uuid!("c8cb7687-e6d3-11d2-a958-00c04f682e16"), Some((1, 0)), "davclntrpc", "WebDAV client", Windows, "nmap"),
    known(uuid!("c9378ff1-16f7-11d0-a0b2-00aa0061426a"), Some((1, 0)), "ipstoreprov", "protected storage", Windows, "nmap"),
    known(uuid!("c9ac6db5-82b7-4e55-ae8a-e464ed7b4277"), Some((1, 0)), "sysntfy", "system notifications", Windows, "impacket"),
    known(uuid!("ccd8c074-d0e5-4a40-92b4-d074faa6ba28"), Some((1, 1)), "witness", "SMB witness", Windows, "MS-SWN"),
    known(uuid!("d049b186-814f-11d1-9a3c-00c04fc9b232"), Some((1, 1)), "ntfrsapi", "file replication, administration", Windows, "MS-FRS1"),
    known(uuid!("d335b8f6-cb31-11d0-b0f9-006097ba4e54"), None, "policyagent", "IPsec policy agent", Windows, "nmap"),
    known(uuid!("d3fbb514-0e3b-11cb-8fad-08002b1d29c3"), Some((1, 0)), "nsic", "RPC locator, client part", Windows, "Suricata"),
    known(uuid!("d46113d0-a848-11cb-b863-08001e046aa5"), Some((2, 0)), "rs_bind", "DCE registry, sites", Dce, "Wireshark"),
    known(uuid!("d4781cd6-e5d3-44df-ad94-930efe48a887"), Some((0, 0)), "iwbemloginclientid", "WMI login with a client's name", Windows, "MS-WMI"),
    known(uuid!("d5579459-8bca-11ca-b771-08002b1c8f1f"), Some((1, 0)), "cds_solicit", "DCE cell directory, advertisement", Dce, "Wireshark"),
    known(uuid!("d6d70ef0-0e3b-11cb-acc3-08002b1d29c3"), Some((1, 0)), "nsis", "RPC locator, server part", Windows, "Suricata"),
    known(uuid!("d6d70ef0-0e3b-11cb-acc3-08002b1d29c4"), Some((1, 0)), "nsim", "RPC locator, management part", Windows, "Suricata"),
    known(uuid!("d95afe70-a6d5-4259-822e-2c84da1ddb0d"), Some((1, 0)), "windowsshutdown", "remote shutdown, newer form", Windows, "MS-RSP"),
    known(uuid!("da5a86c5-12c2-4943-ab30-7f74a813d853"), Some((1, 0)), "perflibv2", "performance counters", Windows, "MS-PCQ"),
    known(uuid!("dd490425-5325-4565-b774-7e27d6c09c24"), Some((1, 0)), "bfe", "base filtering engine", Windows, "Windows"),
    known(uuid!("dea00001-6c97-11d1-8271-00a02442df7d"), Some((1, 0)), "pnio_device", "PROFINET IO device", Other, "Wireshark"),
    known(uuid!("dea00002-6c97-11d1-8271-00a02442df7d"), Some((1, 0)), "pnio_controller", "PROFINET IO controller", Other, "Wireshark"),
    known(uuid!("dea00003-6c97-11d1-8271-00a02442df7d"), Some((1, 0)), "pnio_supervisor", "PROFINET IO supervisor", Other, "Wireshark"),
    known(uuid!("dea00004-6c97-11d1-8271-00a02442df7d"), Some((1, 0)), "pnio_parameterserver", "PROFINET IO parameter server", Other, "Wireshark"),
    known(uuid!("df1941c5-fe89-4e79-bf10-463657acf44d"), Some((1, 0)), "efsrpc", "encrypting file system", Windows, "MS-EFSR"),
    known(uuid!("df4df73a-c52d-4e3a-8003-8437fdf8302a"), Some((0, 0)), "windowmanager", "window manager", Windows, "Windows"),
    known(uuid!("e1af8308-5d1f-11c9-91a4-08002b14a0fa"), Some((3, 0)), "epmapper", "endpoint mapper", Dce, "C706 App. O"),
    known(uuid!("e33c0cc4-0482-101a-bc0c-02608c6ba218"), Some((1, 0)), "loctoloc", "RPC locator, between locators", Windows, "MS-RPCL"),
    known(uuid!("e3514235-4b06-11d1-ab04-00c04fc2dcd2"), Some((4, 0)), "drsuapi", "Active Directory replication", Windows, "MS-DRSR"),
    known(uuid!("e3d0d746-d2af-40fd-8a7a-0d7078bb7092"), Some((1, 0)), "bitspeerauth", "BITS peer authentication", Windows, "MS-BPAU"),
    known(uuid!("e40f7b57-7a25-4cd3-a135-7f7d3df9d16b"), Some((1, 0)), "ncb", "network connection broker", Windows, "Windows"),
    known(uuid!("e60c73e6-88f9-11cf-9af1-0020af6e72f4"), Some((2, 0)), "ilocalobjectexporter", "DCOM object resolver, local", Windows, "Samba"),
    known(uuid!("e6ac5cb8-de3e-11ca-9376-08001e0394c7"), Some((1, 0)), "rs_prop_plcy", "DCE registry propagation, policies", Dce, "Wireshark"),
    known(uuid!("e76ea56d-453f-11cf-bfec-08002be23f2f"), Some((2, 1)), "resrcmon", "cluster resource monitor", Windows, "impacket"),
    known(uuid!("e770c620-0b06-4b5e-8d87-a26e20f28340"), Some((1, 0)), "irpc", "Samba, between its parts", Samba, "Samba"),
    known(uuid!("ea0a3165-4834-11d2-a6f8-00c04fa346cc"), Some((4, 0)), "fax", "fax server", Windows, "MS-FAX"),
    known(uuid!("eb081a0d-10ee-478a-a1dd-50995283e7a8"), Some((3, 0)), "witnessclienttest", "SMB witness client, test", Windows, "Windows"),
    known(uuid!("eb814e2a-0099-11ca-8678-02608c2ea96e"), Some((4, 0)), "budb", "DFS backup database", Dce, "Wireshark"),
    known(uuid!("ecbdb051-f208-46b9-8c8b-648d9d3f3944"), Some((1, 0)), "teredo", "Teredo", Windows, "impacket"),
    known(uuid!("ecec0d70-a603-11d0-96b1-00a0c91ece30"), None, "ad_backup", "Active Directory backup", Windows, "Samba"),
    known(uuid!("f2c9b409-c1c9-4100-8639-d8ab1486694a"), Some((1, 0)), "witnessclientupcall", "SMB witness client, upcalls", Windows, "Windows"),
    known(uuid!("f309ad18-d86a-11d0-a075-00c04fb68820"), Some((0, 0)), "iwbemlevel1login", "WMI login", Windows, "MS-WMI"),
    known(uuid!("f47433c3-3e9d-4157-aad4-83aa1f5c2d4c"), Some((1, 0)), "fwapi3", "firewall, local, another", Windows, "Windows"),
    known(uuid!("f50aac00-c7f3-428e-a022-a6b71bfb9d43"), None, "icatdbsvc", "cryptographic services, catalogues", Windows, "Suricata"),
    known(uuid!("f5cc59b4-4264-101a-8c59-08002b2f8426"), Some((1, 1)), "frsrpc", "file replication", Windows, "MS-FRS1"),
    known(uuid!("f5cc5a18-4264-101a-8c59-08002b2f8426"), Some((56, 0)), "nspi", "address book", Windows, "MS-NSPI"),
    known(uuid!("f6beaff7-1e19-4fbb-9f8f-b89e2018337c"), Some((1, 0)), "ieventservice", "event log, version 6", Windows, "MS-EVEN6"),
    known(uuid!("fd6bb951-c830-4734-bf2c-18ba6ec7ab49"), Some((1, 0)), "iscsiexe", "iSCSI initiator", Windows, "impacket"),
    known(uuid!("fd7a0523-dc70-43dd-9b2e-9c5ed48225b1"), Some((1, 0)), "appinfo5", "application information, another", Windows, "Windows"),
    known(uuid!("fdb3a030-065f-11d1-bb9b-00a024ea5525"), Some((1, 0)), "qmcomm", "message queues", Windows, "MS-MQMP"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_sorted_and_each_interface_once() {
        assert!(KNOWN.is_sorted_by(|one, other| one.uuid < other.uuid));
    }

    #[test]
    fn names_are_lower_case_and_of_one_interface_each() {
        let mut names = HashSet::new();
        for known in KNOWN {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(known.name.chars().all(plain), "{}", known.name);
            assert!(names.insert(known.name), "{}", known.name);
            assert!(!known.about.is_empty() && !known.source.is_empty());
        }
    }

    #[test]
    fn every_system_interface_is_in_the_group_of_its_system() {
        for (name, group) in [
            ("epmapper", Dce),
            ("mgmt", Dce),
            ("secidmap", Dce),
            ("samr", Windows),
            ("iobjectexporter", Windows),
            ("iremotescmactivator", Windows),
            ("wzcsvc", Windows),
            ("winbind", Samba),
            ("rpcecho", Other),
            ("mimikatz", Other),
            ("pnio_device", Other),
        ] {
            assert_eq!(by_name(name).unwrap().group, group, "{name}");
        }
    }

    #[test]
    fn a_group_is_named_and_no_interface_has_its_name() {
        let all = [Windows, Samba, Dce, Other];
        let sizes = all.map(|group| group.interfaces().count());
        assert_eq!(sizes.iter().sum::<usize>(), KNOWN.len());
        for (name, group) in Group::NAMES {
            assert_eq!(Group::by_name(name), Some(group));
            assert!(by_name(name).is_none(), "{name}");
            assert!(group.interfaces().all(|known| known.group == group));
        }
        assert_eq!(Group::by_name("other"), None);
    }

    #[test]
    fn no_name_reads_as_a_uuid() {
        for known in KNOWN {
            assert!(Uuid::try_parse(known.name).is_err(), "{}", known.name);
        }
    }

    #[test]
    fn interfaces_are_found_by_uuid_and_by_name() {
        for known in KNOWN {
            assert_eq!(by_uuid(known.uuid), Some(known));
            assert_eq!(by_name(known.name), Some(known));
        }
        assert_eq!(by_name("SAMR").map(|known| known.source), Some("MS-SAMR"));
        assert_eq!(by_uuid(Uuid::nil()), None);
        assert_eq!(by_name(""), None);
    }

    #[test]
    fn the_mappers_own_interfaces_are_those_of_the_wire() {
        let syntax = |name| by_name(name).unwrap().syntax();
        assert_eq!(syntax("epmapper"), Some(SyntaxId::EPT));
        assert_eq!(syntax("mgmt"), Some(SyntaxId::MGMT));
    }
}

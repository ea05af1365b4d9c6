//! `portlane run` and `portlane demo` on real interfaces, with the kernel's own traffic, in throw-away network
//! namespaces. Needs root; reported as ignored where namespaces may not be made.
//!
//! The machine that this runs on has other things to do, so nothing here asks how fast it is: a limit holds from above,
//! and from below with a wide margin.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod attach;
mod bench;
mod busy;
mod capture;
mod connections;
mod containers;
mod control;
mod counters;
mod demo;
mod demo_host;
mod endings;
mod flows;
mod forwarding;
mod frames;
mod host;
mod host_addresses;
mod host_counters;
mod host_edges;
mod host_icmp;
mod host_local;
mod host_many;
mod host_numbers;
mod host_refusals;
mod host_scale;
mod hostile;
mod idle;
mod ladder;
#[path = "../support/ledger.rs"]
mod ledger;
mod lifecycle;
mod limits;
mod meters;
mod observe;
mod offer;
mod portlane;
mod prometheus;
mod queues;
#[path = "../../rings/tests/steering/frames.rs"]
mod random_frames;
mod refusals;
mod relay;
mod reloads;
mod rollback;
mod scrapes;
mod service;
mod soak;
mod steering;
#[path = "../support/tables.rs"]
mod tables;
mod tcp_counters;
mod threads;
mod traffic;
mod window;

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};

use ::portlane::netns::Namespace;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    // Anything else than a lacking permission is a failure of the trials, not a reason to skip them.
    let forbidden = Namespace::new().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    let has_ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    let has_systemd = Command::new("systemd-analyze").arg("--version").output().is_ok();
    let has_memory_groups = refusals::MemoryGroup::new().is_ok();
    let has_prometheus = Command::new("prometheus").arg("--version").output().is_ok();
    let has_exporter = Command::new("prometheus-node-exporter").arg("--version").output().is_ok();
    let has_tshark = Command::new("tshark").arg("--version").output().is_ok();
    let has_nftables = Command::new("nft").arg("--version").output().is_ok();
    let has_bpftool = Command::new("bpftool").arg("version").output().is_ok();
    let trial = |name: &'static str, test: fn()| {
        let run = move || -> Result<(), Failed> {
            busy::run(name, test);
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(forbidden)
    };
    let trials = vec![
        trial("tcp_arrives_intact_and_the_books_agree_with_the_kernel", forwarding::tcp_arrives_intact),
        trial("traffic_that_nobody_owns_passes", forwarding::unmatched_traffic_passes),
        trial("ipv6_passes", forwarding::ipv6_passes).with_ignored_flag(forbidden || !has_ipv6),
        trial("what_cannot_be_sent_is_counted", forwarding::what_cannot_be_sent_is_counted),
        trial("every_rung_of_the_ladder_forwards", ladder::forwards),
        trial("the_rungs_of_a_shared_card_are_af_xdps", ladder::shared),
        trial("a_rung_that_does_not_hold_is_refused", ladder::refused),
        trial("the_best_rung_is_taken_and_says_why", ladder::best),
        trial("packet_sockets_serve_where_no_program_may_be_loaded", ladder::without_bpf),
        trial("packets_longer_than_a_frame_are_counted", ladder::too_long),
        trial("a_limited_transfer_takes_its_time", || limits::limited_transfer("auto")),
        trial("a_limited_transfer_takes_its_time_by_packet_sockets", || limits::limited_transfer("packet")),
        trial("percentiles_of_rate_follow_a_limit", window::of_a_limited_container),
        trial("a_flood_gets_its_limit_and_disturbs_nobody", limits::flood),
        trial("long_packets_arrive_with_everything_left_on", frames::long_packets),
        trial("long_packets_arrive_through_a_shared_card", frames::long_packets_of_a_shared_card),
        trial("unfinished_checksums_are_counted_and_completed_if_told", frames::checksums),
        trial("tagged_frames_arrive_as_they_were_sent", frames::tagged),
        trial("offloads_are_off_for_the_run", frames::offloads),
        trial("offloads_are_kept_if_told", frames::offloads_kept),
        trial("offloads_survive_a_kill", frames::offloads_after_a_kill),
        trial("offloads_of_the_kernel_are_off_in_generic_mode", frames::offloads_in_generic_mode),
        trial("sigterm_and_sigint_restore_everything", endings::signals),
        trial("kill_9_under_load_leaves_usable_interfaces", endings::killed),
        trial("what_was_taken_is_sent_before_the_end", lifecycle::drained),
        trial("draining_ends_when_its_time_is_over", lifecycle::drained_in_part),
        trial("the_kernel_forwards_after_each_of_a_hundred_kills", lifecycle::killed_a_hundred_times),
        trial("an_interface_that_goes_down_and_comes_back_is_survived", lifecycle::interface_comes_back),
        trial("an_interface_that_is_lost_ends_the_run", endings::lost_interface),
        trial("a_full_standard_output_ends_the_run", endings::full_output),
        trial("an_interface_that_is_renamed_is_served_as_before", service::renamed_interface),
        trial("reloads_under_load_lose_nothing", reloads::under_load),
        trial("a_soak_over_veth_balances", soak::books_balance),
        trial("a_soak_of_hostile_frames_on_a_wire_hurts_nobody", soak::hostile_frames_on_a_wire),
        trial("a_soak_of_hostile_frames_on_a_shared_card_hurts_nobody", soak::hostile_frames_on_a_shared_card),
        trial("a_reload_that_is_refused_changes_nothing", reloads::refused),
        trial("a_reload_changes_what_the_kernel_chooses", reloads::of_a_shared_card),
        trial("a_limit_holds_for_all_queues_together", queues::limited_in_total),
        trial("neither_of_two_workers_starves", queues::nobody_starves),
        trial("a_worker_that_sleeps_is_woken_by_another", queues::sleepers_are_woken),
        trial("reloads_under_load_lose_nothing_at_two_workers", queues::reloads_under_load),
        trial("workers_have_the_cores_and_queues_that_they_are_given", queues::as_configured),
        trial("an_interface_of_several_queues_is_spoken_of_once", queues::outage),
        trial("the_service_manager_is_told_of_all_workers", queues::watched),
        trial("two_idle_workers_take_next_to_nothing", idle::two_workers),
        trial("what_the_kernel_does_not_take_is_taken_back", rollback::ports_that_the_kernel_does_not_take)
            .with_ignored_flag(forbidden || !has_bpftool),
        trial("cores_and_queues_that_cannot_be_had_are_refused", queues::refused),
        trial("helpers_keep_off_the_cores_of_workers", threads::keep_off)
            .with_ignored_flag(forbidden || threads::cores().len() < 2),
        trial("who_answers_for_neighbours_keeps_off_too", threads::keep_off_on_a_shared_card)
            .with_ignored_flag(forbidden || threads::cores().len() < 2),
        trial("one_worker_serves_all_queues_where_there_is_one_core", queues::one_core),
        trial("the_service_manager_is_told", service::notifies),
        trial("a_run_keeps_no_privileges", service::gives_up_privileges),
        trial("threads_on_a_shared_card_keep_what_they_need", service::keeps_few_privileges),
        trial("a_run_needs_no_more_than_its_capabilities", service::runs_unprivileged),
        trial("the_service_unit_is_valid", service::unit_is_valid).with_ignored_flag(forbidden || !has_systemd),
        trial("an_idle_run_takes_next_to_nothing", idle::adaptive),
        trial("a_busy_run_takes_its_core", idle::busy),
        trial("sockets_and_workers_are_told_of", idle::numbers),
        trial("interfaces_that_cannot_serve_are_refused", refusals::interfaces),
        trial("what_another_portlane_has_is_refused", refusals::taken),
        trial("another_xdp_program_is_refused", refusals::others_program),
        trial("missing_privileges_are_refused", refusals::privileges),
        trial("an_unwritable_control_socket_is_refused", refusals::unwritable_socket),
        trial("a_small_locked_memory_limit_is_refused", refusals::locked_memory),
        trial("a_small_cgroup_is_refused", refusals::group_memory).with_ignored_flag(forbidden || !has_memory_groups),
        trial("a_configuration_without_wire_is_refused", refusals::no_wire),
        trial("stats_without_a_portlane_is_refused", refusals::nobody_listens),
        trial("containers_come_change_and_go", containers::come_change_and_go),
        trial("what_cannot_be_written_down_is_not_done", containers::unwritable_state),
        trial("a_service_keeps_containers_in_its_own_folder", containers::state_of_a_service),
        trial("a_thousand_containers_come_and_go_under_load", containers::many_under_load),
        trial("the_control_socket_is_its_owners_alone", control::owner_only),
        trial("http_answers_reads_and_nothing_else", control::http),
        trial("idle_connections_do_not_keep_the_owner_out", control::idle_connections),
        trial("anybodys_numbers_are_shared", control::shared_numbers),
        trial("only_a_stale_control_socket_is_replaced", control::found_in_its_place),
        trial("scrapes_go_on_beside_traffic", scrapes::beside_traffic),
        trial("a_capture_shows_what_becomes_of_every_frame", capture::fates_agree)
            .with_ignored_flag(forbidden || !has_tshark),
        trial("who_reads_a_capture_slowly_loses_frames", capture::slow_readers)
            .with_ignored_flag(forbidden || !has_tshark),
        trial("a_capture_has_what_is_asked_for", capture::chosen).with_ignored_flag(forbidden || !has_tshark),
        trial("what_is_only_watched_leaves", observe::all_leaves),
        trial("reloads_between_modes_under_load_lose_nothing", observe::reloads),
        trial("one_container_is_watched_beside_another", observe::one_of_two),
        trial("two_workers_are_captured_in_the_order_of_time", capture::two_workers)
            .with_ignored_flag(forbidden || !has_tshark),
        trial("handshakes_take_what_the_kernel_measures", connections::handshakes)
            .with_ignored_flag(forbidden || !has_tshark),
        trial("segments_are_sent_again_as_often_as_the_kernel_counts", connections::repetitions)
            .with_ignored_flag(forbidden || !has_tshark),
        trial("every_packet_is_seen_by_who_observes_flows", flows::all_are_seen),
        trial("flows_are_observed_at_two_workers", flows::at_two_workers)
            .with_ignored_flag(forbidden || threads::cores().len() < 2),
        trial("rows_of_flows_are_kept", flows::rows_are_kept),
        trial("flows_of_attached_neighbours_are_seen_once", flows::neighbours),
        trial("rows_of_flows_are_lost_while_the_disk_is_full", flows::a_full_disk),
        trial("frames_tell_what_the_kernel_has_counted", tcp_counters::a_day)
            .with_ignored_flag(forbidden || !has_nftables),
        trial("meters_count_as_nftables_does", meters::as_nftables).with_ignored_flag(forbidden || !has_nftables),
        trial("two_workers_meter_as_one_does", meters::by_two_workers)
            .with_ignored_flag(forbidden || !has_nftables || threads::cores().len() < 2),
        trial("labels_and_rules_come_and_go", meters::commands),
        trial("prometheus_scrapes_and_answers", prometheus::scrapes).with_ignored_flag(forbidden || !has_prometheus),
        trial("what_is_the_hosts_never_enters", steering::hosts_own),
        trial("what_is_a_containers_is_shaped", steering::containers_own),
        trial("ranges_end_where_they_say", steering::edges),
        trial("containers_say_nothing_to_the_host", steering::nothing_leaks),
        trial("fragments_follow_their_first_one", steering::fragments),
        trial("containers_are_told_neighbours_that_the_host_has_to_find", steering::unknown_neighbour),
        trial("ipv6_is_steered_too", steering::ipv6).with_ignored_flag(forbidden || !has_ipv6),
        trial("only_the_queues_that_are_named_are_served", steering::queues),
        trial("kill_9_gives_the_host_its_traffic_back", steering::killed),
        trial("the_documented_capabilities_are_enough", steering::privileges),
        trial("queues_and_interfaces_that_are_not_there_are_refused", steering::refused),
        trial("a_containers_interface_resembles_the_uplink", attach::as_the_uplink),
        trial("a_crash_at_any_step_of_attaching_is_made_good", attach::crashes),
        trial("what_cannot_be_attached_is_refused", attach::refused),
        trial("a_container_in_another_namespace_has_its_interface_there", attach::another_namespace),
        trial("the_gate_comes_and_goes", attach::gate),
        trial("containers_share_the_hosts_address", host::traffic),
        trial("a_container_has_no_ports_but_its_own", host::foreign_ports),
        trial("limits_hold_for_attached_containers", host::limits),
        trial("fragments_and_errors_find_attached_containers", host::fragments_and_errors),
        trial("attached_containers_come_and_go", host::come_and_go),
        trial("what_a_killed_run_had_attached_is_gone_on_with", host::killed),
        trial("a_process_that_had_a_container_is_not_taken_for_another", host::of_process),
        trial("a_container_without_namespace_keeps_nobody_from_starting", host::lost_namespace),
        trial("attaching_that_is_refused_leaves_nothing", host::refused),
        trial("ports_of_the_hosts_own_programs_are_no_containers", host_refusals::the_hosts_own_ports),
        trial("listeners_of_the_host_at_containers_ports_are_told_of", host_refusals::listeners),
        trial("what_a_run_cannot_attach_is_refused", host_refusals::of_a_run),
        trial("a_host_without_address_attaches_nobody", host_refusals::no_address),
        trial("the_kernels_counters_of_a_container_are_those_inside", host_counters::as_inside),
        trial("the_kernels_counters_of_containers_that_are_not_attached_are_read", counters::of_a_wire),
        trial("connections_of_a_container_are_those_that_ss_lists", host_counters::connections),
        trial("the_kernels_counters_of_a_container_are_node_exporters_inside", host_counters::as_node_exporter)
            .with_ignored_flag(forbidden || !has_exporter),
        trial("attached_containers_ping_and_hear_their_answers", host_icmp::pings),
        trial("attached_containers_ping_over_ipv6", host_icmp::pings_over_ipv6)
            .with_ignored_flag(forbidden || !has_ipv6),
        trial("attached_containers_ping_themselves", host_icmp::pings_within),
        trial("attached_containers_hear_of_pings_that_fail", host_icmp::errors),
        trial("a_container_has_no_address_but_the_hosts", host_icmp::foreign_addresses)
            .with_ignored_flag(forbidden || !has_ipv6),
        trial("the_last_packet_that_a_container_may_not_send_is_kept", host_icmp::last_offenders),
        trial("one_containers_questions_leave_room_for_anothers", host_icmp::many_questions),
        trial("one_containers_pings_leave_room_for_anothers", host_icmp::many_pings),
        trial("attached_containers_ask_for_names", host_icmp::names),
        trial("what_a_container_has_no_room_for_is_counted", host_icmp::undelivered),
        trial("an_attached_containers_own_ports_are_within", host_local::own_ports),
        trial("attached_containers_and_their_host_speak_with_each_other", host_local::neighbours),
        trial("attached_containers_and_their_host_speak_on_loopback", host_local::neighbours_on_loopback),
        trial("attached_containers_and_their_host_speak_at_two_workers", host_local::neighbours_at_two_workers),
        trial("ranges_end_where_they_say_for_neighbours_and_their_host", host_local::ranges),
        trial("attached_containers_may_have_a_loopback_of_their_own", host_local::loopback_apart),
        trial("what_says_that_it_is_of_loopback_stays_on_its_host", host_local::loopback_stays),
        trial("attached_containers_and_their_host_speak_over_ipv6", host_local::neighbours_over_ipv6)
            .with_ignored_flag(forbidden || !has_ipv6),
        trial("ports_where_nobody_listens_on_a_host_are_refused_at_once", host_local::others_ports),
        trial("attached_containers_and_their_host_speak_in_long_packets", host_local::long_packets),
        trial("a_host_that_looks_back_strictly_hears_its_containers", host_local::strict_host),
        trial("limits_hold_for_what_stays_on_a_host", host_local::limits),
        trial("ports_of_neighbours_come_and_go", host_local::ports_come_and_go),
        trial("two_hundred_attached_containers_come_and_go_in_any_order", host_many::in_any_order),
        trial("attached_containers_have_ipv6", host_many::ipv6).with_ignored_flag(forbidden || !has_ipv6),
        trial("mesos_form_says_what_containers_see", host_numbers::mesos),
        trial("many_attached_containers_cost_the_few_little", host_scale::many_beside_few),
        trial("many_are_attached_at_once_and_the_watchdog_is_fed", host_scale::many_at_once),
        trial("attached_containers_follow_the_hosts_addresses", host_addresses::followed),
        trial("attached_containers_follow_the_hosts_ipv6_addresses", host_addresses::followed_over_ipv6)
            .with_ignored_flag(forbidden || !has_ipv6),
        trial("ranges_of_attached_containers_end_where_they_say", host_edges::ranges),
        trial("ranges_of_attached_containers_end_where_they_say_over_ipv6", host_edges::ranges_over_ipv6)
            .with_ignored_flag(forbidden || !has_ipv6),
        trial("attached_containers_learn_the_paths_mtu", host_edges::path_mtu)
            .with_ignored_flag(forbidden || !has_ipv6),
        trial("tagged_frames_find_attached_containers", host_edges::tagged),
        trial("a_kill_at_any_moment_of_coming_and_going_is_made_good", host_edges::killed_at_any_moment),
        trial("a_container_renamed_after_a_kill_keeps_its_namespace", host_edges::renamed_after_a_kill),
        trial("attaching_needs_no_more_than_its_capabilities", host_refusals::few_capabilities),
        trial("a_run_that_cannot_open_leaves_no_interface", host_refusals::not_open),
        trial("long_packets_arrive_at_attached_containers", host_many::long_packets),
        trial("a_helper_alone_may_enter_namespaces", host_many::few_privileges),
        trial("the_demo_keeps_its_contract", demo::contract),
        trial("the_demo_of_a_host_keeps_its_contract", demo_host::contract),
        trial("an_interrupted_demo_leaves_nothing_behind", demo::interrupted),
        trial("a_held_demo_is_asked_as_a_run_is", demo::held),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

//! How much memory the cgroup of this process may have.
//!
//! The kernel fills all frames with pages when they are registered, and ends a process that has no right to so many by
//! SIGKILL: what cannot be is to be known before.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// Refuses to have `needed` bytes where they are more than the cgroup may have.
pub(super) fn check(needed: u64) -> Result<(), OpenError> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match least(&groups, Path::new("/sys/fs/cgroup")) {
        Some((limit, file)) if limit < needed => {
            Err(OpenError::CgroupMemory { needed, limit, file: file.display().to_string() })
        }
        _ => Ok(()),
    }
}

/// The least limit that holds for a process in these groups (cgroups(7), "/proc/[pid]/cgroup"): its own or that of a group above,
/// and the file that it is in. `None` where nothing is limited, or nothing can be read.
fn least(groups: &str, root: &Path) -> Option<(u64, PathBuf)> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let (mount, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else {
            let has_memory = controllers.split(',').any(|controller| controller == "memory");
            has_memory.then(|| (root.join("memory"), "memory.limit_in_bytes"))?
        };
        let groups = Path::new(group.trim_start_matches('/')).ancestors();
        let limits = groups.filter_map(|group| {
            let file = mount.join(group).join(file);
            // "max" is no limit.
            Some((fs::read_to_string(&file).ok()?.trim().parse().ok()?, file))
        });
        limits.min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files as the kernel shows them, removed with the value.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("portlane-{name}-{}", std::process::id()));
            for (file, text) in files {
                let file = root.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            Self(root)
        }

        fn least(&self, groups: &str) -> Option<(u64, String)> {
            least(groups, &self.0)
                .map(|(limit, file)| (limit, file.strip_prefix(&self.0).unwrap().display().to_string()))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_least_limit_of_all_groups_above_holds() {
        let files = [("a/memory.max", "1000\n"), ("a/b/memory.max", "max\n"), ("a/b/c/memory.max", "2000\n")];
        let tree = Tree::new("v2", &files);
        assert_eq!(tree.least("0::/a/b/c\n"), Some((1_000, "a/memory.max".to_owned())));
        assert_eq!(tree.least("0::/a/b\n"), Some((1_000, "a/memory.max".to_owned())));
        assert_eq!(tree.least("0::/\n"), None);
        assert_eq!(tree.least("0::/gone\n"), None);
        assert_eq!(tree.least("rubbish\n"), None);
    }

    #[test]
    fn the_first_version_has_a_tree_of_its_own() {
        let files = [("memory/a/memory.limit_in_bytes", "500\n"), ("unified/a/memory.max", "1\n")];
        let tree = Tree::new("v1", &files);
        let groups = "9:pids:/a\n4:cpu,memory:/a\n0::/a\n";
        assert_eq!(tree.least(groups), Some((500, "memory/a/memory.limit_in_bytes".to_owned())));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(check(0).is_ok());
        let refused = OpenError::CgroupMemory { needed: 2, limit: 1, file: "/sys/fs/cgroup/a/memory.max".to_owned() };
        assert_eq!(
            refused.to_string(),
            "the frames need 2 bytes of memory, and the cgroup of this process may have 1: raise it in \
             /sys/fs/cgroup/a/memory.max (MemoryMax= in a systemd unit)"
        );
    }
}

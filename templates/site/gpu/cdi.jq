# What a CDI specification (Container Device Interface, SPEC.md) may add to the workload's OCI configuration. nvidia-ctk writes it
# in the VM, from what driver and GPU say; so all that it holds is compared with what such a specification needs, and anything
# else is an error: another device, another folder, another program.

def wrong($why): error("the CDI specification \($why)");

# Oniguruma's ^ and $ are of lines; \A and \z are of the text.
def matches($pattern): type == "string" and test("\\A(?:\($pattern))\\z");

def holds_only($names; $what):
  if type != "object" then wrong("holds \($what) that is no map") else . end
  | (keys - $names) as $others
  | if $others == [] then . else wrong("has \($what) with \($others[0] | tojson), which is not known here") end;

def list($name):
  (.[$name] // []) | if type == "array" then . else wrong("has \($name) that are no list") end;

# The edits that count for a container that gets all GPUs.
def edits:
  holds_only(["cdiVersion", "kind", "annotations", "containerEdits", "devices"]; "a top level")
  | if .kind == "nvidia.com/gpu" then . else wrong("is not of nvidia.com/gpu but of \(.kind | tojson)") end
  | (list("devices") | map(select(type == "object" and .name == "all"))) as $all
  | if ($all | length) == 1 then . else wrong("does not have one device \"all\"") end
  | [.containerEdits // {}, ($all[0].containerEdits // {})][]
  | holds_only(["env", "deviceNodes", "hooks", "mounts", "additionalGids", "netDevices"]; "container edits")
  | if list("additionalGids") + list("netDevices") == [] then . else wrong("adds groups or network devices") end;

def device_nodes:
  [edits | list("deviceNodes")[]
    | holds_only(["path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"]; "a device node")
    | if (.path | matches("/dev/nvidia([0-9]{1,3}|ctl|-uvm|-uvm-tools|-modeset)")) then .
      else wrong("names the device \(.path | tojson)") end
    | if (.hostPath // .path) == .path and (.type // "c") == "c" then .
      else wrong("makes another device of \(.path)") end]
  | unique_by(.path)
  | if any(.[]; .path | test("[0-9]\\z")) then . else wrong("names no GPU") end;

def device_paths: device_nodes[].path;

# Files of the driver, each at its own place, read-only.
def is_of_driver:
  . as $path
  | any(
      "/usr/bin/nvidia-[a-z-]+",
      "(/usr)?/lib/x86_64-linux-gnu/([a-z0-9_-]+/)*([A-Za-z0-9_-]*nvidia|libcuda|libnv)[A-Za-z0-9_.-]*",
      "(/usr)?/lib/firmware/nvidia/[0-9.]+/gsp_[a-z0-9_]+\\.bin",
      "/(usr/share|etc)/nvidia/([a-z_.]*[a-z_]/)*[A-Za-z0-9_-]+\\.(json|bin)",
      "/(usr/share|etc)/(vulkan|glvnd|egl|OpenCL|X11)/([a-z_.]*[a-z_]/)*[A-Za-z0-9_-]*nv[A-Za-z0-9_-]*\\.(json|bin|icd|conf)";
      . as $pattern | $path | matches($pattern));

# To a program of the VM; nothing in the container needs to speak with it.
def needless_mounts: ["/run/nvidia-persistenced/socket"];

def mounts:
  [edits | list("mounts")[]
    | holds_only(["hostPath", "containerPath", "options", "type"]; "a mount")
    | .hostPath as $place
    | select(needless_mounts | index([$place]) == null)
    | if .hostPath == .containerPath and (.hostPath | is_of_driver) then .
      else wrong("mounts \(.hostPath | tojson) at \(.containerPath | tojson)") end
    | (list("options") - ["ro", "nosuid", "nodev", "noexec", "bind", "rbind", "private", "rprivate"]) as $others
    | if (.type // "bind") == "bind" and $others == [] then .
      else wrong("mounts \(.hostPath) in another way than read-only: \($others | tojson)") end
    | {
        destination: .containerPath, type: "bind", source: .hostPath,
        options: (["bind", "ro", "nosuid", "nodev"] + (list("options") | map(select(. == "noexec")))[:1])
      }]
  | unique_by(.destination);

def variables:
  [edits | list("env")[]
    | if matches("NVIDIA_[A-Z_]+=[A-Za-z0-9_.,:-]*") then . else wrong("sets the variable \(tojson)") end]
  | unique_by(split("=")[0]);

# Programs that run in the VM, outside of the container, before it starts: these and no others, with what each may be given.
def allowed_hooks:
  "(?!\\.{1,2}(?:[/:]|\\z))[A-Za-z0-9_.+-]+" as $name
  | "(/usr)?/lib/x86_64-linux-gnu(/\($name))*" as $folder
  | {
      "create-symlinks": { "--link": "(\\.\\./)?(/?\($name))+::\($folder)" },
      "update-ldcache": { "--folder": $folder, "--ldconfig-path": "@?(/usr)?/sbin/ldconfig(\\.real)?" },
      "disable-device-node-modification": {}
    };

# The first looks for libraries in the container and has been a way out of it (CVE-2025-23266); the others are for graphics.
def needless_hooks: ["enable-cuda-compat", "chmod"];

# "--name=value" as "--name", "value".
def words: [.[] | if startswith("--") and contains("=") then index("=") as $at | .[:$at], .[$at + 1:] else . end];

def hooks:
  [edits | list("hooks")[]
    | holds_only(["hookName", "path", "args", "env", "timeout"]; "a hook")
    | if list("args") | all(.[]; type == "string") then . else wrong("has a hook without words") end
    | (if .path == "/usr/bin/nvidia-cdi-hook" then .args[1:]
       elif .path == "/usr/bin/nvidia-ctk" and .args[1] == "hook" then .args[2:]
       else wrong("has the hook \(.path | tojson)") end) as $line
    | if .hookName == "createContainer" then . else wrong("has a hook at \(.hookName | tojson)") end
    | $line[0] as $verb
    | select(needless_hooks | index($verb) == null)
    | (allowed_hooks[$verb // ""] // wrong("has the hook \($verb | tojson)")) as $options
    | ($line[1:] | words) as $given
    | if ($given | length) % 2 == 0 and all(range(0; $given | length; 2);
          $options[$given[.]] as $pattern
          | $pattern != null and ($given[. + 1] | matches($pattern)))
      then . else wrong("gives the hook \($verb) the words \($given | join(" ") | tojson)") end
    # The image's own variables are not for programs that run outside of it.
    | { path, args: ([.args[0]] + (if .path == "/usr/bin/nvidia-ctk" then ["hook"] else [] end) + [$verb] + $given),
        env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], timeout: 60 }];

# The sealed configuration with all of it. $spec: the specification; $numbers: "path major minor" a line, as the nodes are.
def merged:
  ($spec[0] | if ($spec | length) == 1 then . else wrong("is not one document") end
    | { nodes: device_nodes, mounts: mounts, variables: variables, hooks: hooks }) as $add
  | ($numbers | split("\n") | map(select(. != "") | split(" ") | { key: .[0], value: { major: (.[1] | tonumber), minor: (.[2] | tonumber) } })
    | from_entries) as $number
  | ($add.nodes | map($number[.path] as $is
      | if $is != null and (.major // $is.major) == $is.major and (.minor // $is.minor) == $is.minor then { path: .path } + $is
        else wrong("has other numbers for \(.path) than the device") end)) as $nodes
  | ($add.variables | map(split("=")[0])) as $names
  | .process.env |= (map(select(split("=")[0] as $name | $names | index($name) == null)) + $add.variables)
  | .mounts += $add.mounts
  | .hooks.createContainer += $add.hooks
  | .linux.devices += ($nodes | map(. + { type: "c", fileMode: 438, uid: 0, gid: 0 }))
  | .linux.resources.devices += ($nodes | map({ allow: true, type: "c", major, minor, access: "rw" }));

-- What Argo CD is to make of a RolloutVerification and a RolloutPolicy; without it both are Healthy as soon as they exist.
-- How to install it: docs/integrations.md. Argo CD runs it as Lua 5.1, with the object as `obj`.
local conditions = {}
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  conditions[condition.type] = condition
end

-- The condition of this type, if it has this status.
local function is(kind, status)
  local condition = conditions[kind]
  if condition ~= nil and condition.status == status then
    return condition
  end
  return nil
end

local function health(status, condition, otherwise)
  local message = otherwise
  if condition ~= nil then
    message = condition.reason
    if condition.message ~= nil and condition.message ~= "" then
      message = message .. ": " .. condition.message
    end
  end
  return { status = status, message = message }
end

if obj.kind == "RolloutPolicy" then
  -- What is said of an older text says nothing of this one.
  local seen = (obj.status or {}).observedGeneration
  if seen == nil or seen ~= obj.metadata.generation then
    return health("Progressing", nil, "no verifier has read this policy yet")
  end
  if is("Stalled", "True") then
    return health("Degraded", conditions.Stalled)
  end
  if is("Ready", "True") then
    return health("Healthy", conditions.Ready)
  end
  return health("Progressing", conditions.Ready, "the policy is being read")
end

local verified = conditions.Verified
if is("Verified", "True") then
  return health("Healthy", verified)
end
if is("Verified", "False") then
  return health("Degraded", verified)
end
-- It is over, and whether the version is good is not known. Who superseded it has a verification of its own.
if is("Stalled", "True") and verified ~= nil then
  if verified.reason == "Superseded" then
    return health("Suspended", verified)
  end
  return health("Unknown", verified)
end
return health("Progressing", verified, "the rollout is being judged")

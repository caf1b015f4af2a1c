-- What only some keys have: tokens per minute, requests at once, budgets. Comes after shared.lua.
-- Levels in token-milliseconds (metering/bucket.py), days and months as in metering/budget.py.
local MINUTE_MS, DAY_MS = 60000, 86400000
local BUDGETS = {'day', 'month', 'total'}

local function refilled(level, capacity, period_ms, elapsed_ms)
  local full = capacity * period_ms
  if not level then return full end
  return math.min(full, level + math.max(0, elapsed_ms) * capacity)
end

-- The year times twelve plus the month, of a day counted from 1970 (Howard Hinnant's civil_from_days)
local function month_of(day)
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local leap_days = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year = math.floor((of_era - leap_days) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local from_march = math.floor((5 * of_year + 2) / 153)
  -- March is 0 and its year's third month
  return (year + era * 400) * 12 + from_march + 3
end

-- Read apart, so that keys without them do not pay for it.
local function limits_of(key)
  local l = redis.call('HMGET', key, 'tpm', 'max_open', 'tpm_level', 'tpm_ms', 'open', 'counting', 'used_total',
    'day', 'month', 'used_day', 'used_month', 'budget_day', 'budget_month', 'budget_total')
  local tpm, since_ms = tonumber(l[1]), tonumber(l[4]) or now_ms
  local today = math.floor(now_ms / DAY_MS)
  local limits = {
    tpm = tpm, tpm_level = tpm and refilled(tonumber(l[3]), tpm, MINUTE_MS, now_ms - since_ms),
    tpm_ms = math.max(now_ms, since_ms),
    max_open = tonumber(l[2]), open = tonumber(l[5]) or 0, counting = l[6] or '0', is_counted = l[7],
    today = today, this_month = month_of(today),
    used = {total = tonumber(l[7])},
    budget = {day = tonumber(l[12]), month = tonumber(l[13]), total = tonumber(l[14])},
  }
  if not l[7] then return limits end
  -- periods only go on: a clock that was set back must not empty a budget's count a second time
  local known_day, known_month = tonumber(l[8]), tonumber(l[9])
  limits.used.day = limits.today > known_day and 0 or tonumber(l[10])
  limits.used.month = limits.this_month > known_month and 0 or tonumber(l[11])
  limits.today, limits.this_month = math.max(limits.today, known_day), math.max(limits.this_month, known_month)
  return limits
end

-- The first budget that cannot take so much, 1 to 3, and what it has left.
local function over_budget(limits, nanos)
  if not limits.is_counted then return end
  for place, name in ipairs(BUDGETS) do
    local budget, used = limits.budget[name], limits.used[name]
    if budget and used + nanos > budget then return place, budget - used end
  end
end

-- `nanos`, or as much of it as all budgets have left
local function within_budgets(limits, nanos)
  if not limits.is_counted then return nanos end
  for _, name in ipairs(BUDGETS) do
    local budget = limits.budget[name]
    if budget then nanos = math.min(nanos, budget - limits.used[name]) end
  end
  return nanos
end
